//! The command line of meshproof, which provisions and judges the shop as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    match service_in_mesh::registry() {
        Ok(registry) => meshproof::cli::main_with(registry),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
