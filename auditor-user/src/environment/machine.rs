//! What the machine's firmware and its kernel say of themselves: whose cloud it is, what protects the kernel.
//!
//! Reads small files below a root, which tests set; asks nobody.

use std::{fs, path::Path};

use auditor_core::audit::Posture;

const SECURE_BOOT: &str =
    "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The asset tag of every virtual machine of Azure.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

/// Whose cloud this machine is in, by its firmware's tables (DMI); `None` where they name none.
pub(super) fn provider(root: &Path) -> Option<&'static str> {
    let dmi = |name: &str| text(root, &format!("sys/class/dmi/id/{name}")).unwrap_or_default();
    let vendor = dmi("sys_vendor");
    let (product, tag) = (dmi("product_name"), dmi("chassis_asset_tag"));
    let by_vendor = match vendor.as_str() {
        "Amazon EC2" => Some("AWS"),
        "Alibaba Cloud" => Some("Alibaba Cloud"),
        "DigitalOcean" => Some("DigitalOcean"),
        "Hetzner" => Some("Hetzner"),
        "Scaleway" => Some("Scaleway"),
        "Tencent Cloud" => Some("Tencent Cloud"),
        "Vultr" => Some("Vultr"),
        _ => None,
    };
    by_vendor.or(match (product.as_str(), tag.as_str()) {
        ("Google Compute Engine", _) => Some("GCP"),
        ("Exoscale", _) => Some("Exoscale"),
        (_, "Amazon EC2") => Some("AWS"),
        (_, AZURE) => Some("Azure"),
        (_, "OracleCloud.com") => Some("Oracle Cloud"),
        _ => None,
    })
}

/// What protects the kernel; of the auditor nothing.
pub(super) fn posture(root: &Path) -> Posture {
    let lockdown = text(root, "sys/kernel/security/lockdown").and_then(|text| {
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    });
    let lsm = text(root, "sys/kernel/security/lsm");
    // Four bytes of attributes, then the value.
    let secure_boot = fs::read(root.join(SECURE_BOOT)).ok();
    let secure_boot = secure_boot.and_then(|bytes| bytes.get(4).copied());
    Posture {
        lockdown,
        is_secure_boot: secure_boot.map(|value| value == 1),
        lsm: lsm.map(|text| text.split(',').map(str::to_owned).collect()),
        kernel_tainted: text(root, "proc/sys/kernel/tainted").and_then(|text| text.parse().ok()),
        ..Posture::default()
    }
}

fn text(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn machine(name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("mcp-auditor-machine-{name}-{}", std::process::id()));
        for (path, bytes) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    #[test]
    fn a_cloud_is_named_by_the_firmware() {
        let vendor = "sys/class/dmi/id/sys_vendor";
        let product = "sys/class/dmi/id/product_name";
        let tag = "sys/class/dmi/id/chassis_asset_tag";
        for (at, (files, due)) in [
            (vec![(vendor, "Amazon EC2\n")], Some("AWS")),
            (
                vec![(vendor, "Google\n"), (product, "Google Compute Engine\n")],
                Some("GCP"),
            ),
            (
                vec![(vendor, "Microsoft Corporation\n"), (tag, AZURE)],
                Some("Azure"),
            ),
            // A Hyper-V machine elsewhere.
            (
                vec![(vendor, "Microsoft Corporation\n"), (tag, "None")],
                None,
            ),
            (vec![], None),
        ]
        .into_iter()
        .enumerate()
        {
            let files: Vec<_> = files
                .into_iter()
                .map(|(path, text)| (path, text.as_bytes()))
                .collect();
            let root = machine(&format!("cloud-{at}"), &files);
            assert_eq!(provider(&root), due, "{files:?}");
            let _ = fs::remove_dir_all(root);
        }
    }

    #[test]
    fn what_is_absent_is_unknown_and_not_off() {
        let root = machine("bare", &[("proc/sys/kernel/tainted", b"0\n")]);
        let due = Posture {
            kernel_tainted: Some(0),
            ..Posture::default()
        };
        assert_eq!(posture(&root), due);
        fs::remove_dir_all(root).unwrap();
        let files: [(&str, &[u8]); 4] = [
            (
                "sys/kernel/security/lockdown",
                b"none [integrity] confidentiality\n",
            ),
            ("sys/kernel/security/lsm", b"lockdown,capability,bpf"),
            (SECURE_BOOT, &[6, 0, 0, 0, 1]),
            ("proc/sys/kernel/tainted", b"4097\n"),
        ];
        let root = machine("full", &files);
        let told = posture(&root);
        fs::remove_dir_all(root).unwrap();
        assert_eq!(told.lockdown.as_deref(), Some("integrity"));
        assert_eq!(told.is_secure_boot, Some(true));
        assert_eq!(told.lsm.unwrap(), ["lockdown", "capability", "bpf"]);
        assert_eq!(told.kernel_tainted, Some(4097));
    }
}
