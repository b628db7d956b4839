//! What a person meets on the command line, without any real engine, cluster or network.
//!
//! - `spec_errors`: every mistake in a spec or an option ends with 2, names its place, and nothing was made
//! - `catalogue`: `list`, `explain`, `--help`
//! - `plan`: shows everything, changes nothing
//! - `nothing_there`: the commands on an environment that does not exist
//! - `preflight`: what is refused before anything is changed, with an engine that is not there or is a fake
//! - `selection`: a part of the outcomes is judged, left out with a reason, or judged again
//! - `collect`: the bundle of a cluster, of a cluster that is gone, and of nothing
//! - `existing`: a cluster that is there is judged, and neither it nor the kubeconfig that names it is changed
//! - `prove`: every fault on a simulated cluster
//! - `ledger`: what is expected to fail
//! - `diff`: what changed between two runs
//! - `report`: any form from a journal that may be cut, and the forms that a run writes into files
//! - `lint`: the guide's own files are explained
//! - `interrupt`: a signal in the middle of `kind create cluster`
//!
//! `machine` is the machine on which the binary runs: a private home and state directory, and a PATH with nothing on it. `engine` is the
//! fake engine, `tools` are the fake programs.

mod embedded;
mod engine;
mod existing;
mod machine;
mod tools;

mod catalogue;
mod collect;
mod crash;
mod diff;
mod interrupt;
mod ledger;
mod lint;
mod nothing_there;
mod plan;
mod preflight;
mod prove;
mod report;
mod selection;
mod sessions;
mod spec_errors;
