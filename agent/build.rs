//! Builds the BPF objects of `agent-ebpf` and leaves them in `OUT_DIR`, where `bpf::object` embeds them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    aya_build::build_ebpf(
        [aya_build::Package { name: "remora-ebpf", root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../agent-ebpf"), ..Default::default() }],
        aya_build::Toolchain::Custom("1.98.0"),
    )?;
    Ok(())
}
