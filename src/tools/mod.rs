//! The command line tools: kind, kubectl, istioctl.
