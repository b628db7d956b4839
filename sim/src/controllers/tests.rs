mod cluster;
mod nodes;
mod sets;
mod stress;
mod workloads;
