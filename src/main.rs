//! The `meshproof` command.

fn main() -> std::process::ExitCode {
    meshproof::cli::main()
}
