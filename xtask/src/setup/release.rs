//! Which libtorch the workspace is built on, and where its parts come from: the only place with versions.

use super::libtorch::Version;

/// One release of libtorch.
pub(crate) struct Release {
    /// As torch numbers it.
    pub(crate) version: &'static str,
    /// Major and minor number; a patch release fits too.
    series: (u32, u32),
    /// The release of tch that binds it.
    pub(super) tch: &'static str,
    /// torch's own build for the CPU.
    pub(super) zip: CpuZip,
    /// The same libraries out of Python's wheels, to be had wherever pip works.
    pub(super) wheels: &'static [Wheel],
    /// Bytes on disk while it is fetched: archive and what comes out of it, side by side.
    pub(super) room: u64,
}

/// An archive on torch's own server.
pub(super) struct CpuZip {
    pub(super) url: &'static str,
    pub(super) parts: &'static [Part],
}

/// One wheel, pinned to the very file.
pub(super) struct Wheel {
    /// As pip takes it.
    pub(super) requirement: &'static str,
    pub(super) file: &'static str,
    pub(super) sha256: &'static str,
    pub(super) parts: &'static [Part],
}

/// What is taken out of an archive, and where it goes; a path that ends in `/` stands for all below it.
pub(super) struct Part {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

const fn part(from: &'static str, to: &'static str) -> Part {
    Part { from, to }
}

impl Release {
    pub(super) fn fits(&self, version: Version) -> bool {
        (version.major, version.minor) == self.series
    }

    pub(super) fn series(&self) -> String {
        format!("{}.{}", self.series.0, self.series.1)
    }
}

/// The one that the lock file's tch fits.
pub(crate) const WANTED: Release = Release {
    version: "2.13.0",
    series: (2, 13),
    tch: "0.26",
    zip: CpuZip {
        url: "https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-2.13.0%2Bcpu.zip",
        parts: &[part("libtorch/include/", "include/"), part("libtorch/lib/", "lib/")],
    },
    wheels: &[
        Wheel {
            requirement: "torch==2.13.0",
            file: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
            sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
            // Without libtorch_cuda.so: torch-sys links CUDA as soon as it is there.
            parts: &[
                part("torch/include/", "include/"),
                part("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
                part("torch/lib/libc10.so", "lib/libc10.so"),
                part("torch/lib/libtorch.so", "lib/libtorch.so"),
                part("torch/lib/libshm.so", "lib/libshm.so"),
                part("torch/lib/libtorch_global_deps.so", "lib/libtorch_global_deps.so"),
                part("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
            ],
        },
        // The wheel's libtorch_cpu.so is linked against these two, CUDA or not.
        Wheel {
            requirement: "nvidia-cuda-runtime==13.0.96",
            file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            parts: &[part("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13")],
        },
        Wheel {
            requirement: "nvidia-cuda-cupti==13.0.85",
            file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
            sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
            parts: &[part("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13")],
        },
    ],
    room: 1_300_000_000,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_whole_and_agree_with_the_version() {
        assert!(WANTED.zip.url.contains(WANTED.version));
        assert!(WANTED.version.starts_with(&format!("{}.", WANTED.series())));
        for wheel in WANTED.wheels {
            assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
            let version = wheel.requirement.split("==").nth(1).unwrap();
            assert!(wheel.file.contains(&format!("-{version}-")), "{}", wheel.file);
        }
        assert!(WANTED.wheels[0].requirement.ends_with(WANTED.version));
    }
}
