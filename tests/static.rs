//! The program as `packaging/build --profile dev` makes it: a target of its own, of the same
//! dependencies as the tests, so that these are not compiled again for one static executable.

#[path = "../src/main.rs"]
mod program;

fn main() -> std::process::ExitCode {
    program::main()
}
