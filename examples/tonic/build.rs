//! Compiles the `.proto` file, by protox: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["proto/account.proto"], ["proto"])?;
    tonic_prost_build::compile_fds(files)?;
    Ok(())
}
