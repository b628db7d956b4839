//! Forms of a journal.
