//! Which libtorchs there are, which of them the workspace is built on, and where their parts come from: the only place with
//! versions.

use super::libtorch::Version;
use crate::failure::{Result, fail};

/// One release of libtorch.
pub(crate) struct Release {
    /// As torch numbers it.
    pub(crate) version: &'static str,
    /// Major and minor number; a patch release fits too.
    series: (u32, u32),
    /// The release of tch, and of torch-sys, that binds it.
    pub(crate) tch: &'static str,
    /// torch's own build for the CPU.
    pub(super) zip: CpuZip,
    /// The same libraries out of Python's wheels, to be had wherever pip works.
    pub(super) wheels: &'static [Wheel],
    /// With CUDA, from wheels alone: the libraries to link against, and the headers that NCCL's process group needs.
    pub(super) cuda_wheels: &'static [Wheel],
    /// Bytes on disk while it is fetched: archive and what comes out of it, side by side.
    pub(super) room: u64,
    pub(super) cuda_room: u64,
}

/// An archive on torch's own server.
pub(super) struct CpuZip {
    pub(super) url: &'static str,
    pub(super) parts: &'static [Part],
}

/// One wheel, pinned to the very file.
#[derive(Clone, Copy)]
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

impl Wheel {
    /// The same wheel, of which other parts are wanted.
    const fn with(self, parts: &'static [Part]) -> Self {
        Self { parts, ..self }
    }
}

impl Release {
    pub(super) fn fits(&self, version: Version) -> bool {
        (version.major, version.minor) == self.series
    }

    /// Major and minor number, as one names it: `2.13`.
    pub(crate) fn series(&self) -> String {
        format!("{}.{}", self.series.0, self.series.1)
    }
}

/// The one that the lock file's tch fits.
pub(crate) const WANTED: Release = TORCH_2_13;

/// All that the source can be built on, oldest first.
const ALL: [Release; 3] = [TORCH_2_11, TORCH_2_12, TORCH_2_13];

/// The release of a series such as `2.11`; its full number, `2.11.0`, does as well.
pub(crate) fn of_series(name: &str) -> Result<Release> {
    let found = ALL.into_iter().find(|release| release.series() == name || release.version == name);
    found.map_or_else(
        || {
            let known = ALL.map(|release| release.series()).join(", ");
            fail(format!("libtorch {name} is not one that this source is tested with; there is: {known}"))
        },
        Ok,
    )
}

/// One of another series: the workspace's own, which is likely there already, or for that one the one before.
pub(crate) fn another(release: &Release) -> Release {
    if release.series == WANTED.series { TORCH_2_12 } else { WANTED }
}

const TORCH_2_11: Release = Release {
    version: "2.11.0",
    series: (2, 11),
    tch: "0.24.0",
    zip: CpuZip {
        url: "https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-2.11.0%2Bcpu.zip",
        parts: ZIP_PARTS,
    },
    wheels: &[WHEEL_2_11, CUDA_RUNTIME_13, CUPTI_13],
    cuda_wheels: &[
        WHEEL_2_11.with(CUDA_WHEEL_PARTS),
        CUDA_RUNTIME_13.with(CUDA_RUNTIME_PARTS),
        CUPTI_13,
        CUDA_CRT_13,
        CUDA_CCCL_13,
        NCCL_2_28,
    ],
    room: 1_300_000_000,
    cuda_room: 2_500_000_000,
};

const WHEEL_2_11: Wheel = Wheel {
    requirement: "torch==2.11.0",
    file: "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
    parts: WHEEL_PARTS,
};

const TORCH_2_12: Release = Release {
    version: "2.12.1",
    series: (2, 12),
    // tch 0.25, made for 2.12, never came to crates.io. Between 2.12 and 2.13 libtorch only lost its functions with named
    // dimensions and gained `_foreach_mm`, and tch binds none of these: 0.26 is as true to 2.12.
    tch: "0.26.0",
    zip: CpuZip {
        url: "https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-2.12.1%2Bcpu.zip",
        parts: ZIP_PARTS,
    },
    wheels: &[WHEEL_2_12, CUDA_RUNTIME_13, CUPTI_13],
    cuda_wheels: &[
        WHEEL_2_12.with(CUDA_WHEEL_PARTS),
        CUDA_RUNTIME_13.with(CUDA_RUNTIME_PARTS),
        CUPTI_13,
        CUDA_CRT_13,
        CUDA_CCCL_13,
        NCCL_2_29,
    ],
    room: 1_300_000_000,
    cuda_room: 2_500_000_000,
};

const WHEEL_2_12: Wheel = Wheel {
    requirement: "torch==2.12.1",
    file: "torch-2.12.1-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "6e29e7e74d05bda7d955c75e99459f878ebd970ef851b4057edbd3b34a5eb4a3",
    parts: WHEEL_PARTS,
};

const TORCH_2_13: Release = Release {
    version: "2.13.0",
    series: (2, 13),
    tch: "0.26.0",
    zip: CpuZip {
        url: "https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-2.13.0%2Bcpu.zip",
        parts: ZIP_PARTS,
    },
    wheels: &[WHEEL_2_13, CUDA_RUNTIME_13, CUPTI_13],
    cuda_wheels: &[
        WHEEL_2_13.with(CUDA_WHEEL_PARTS),
        CUDA_RUNTIME_13.with(CUDA_RUNTIME_PARTS),
        CUPTI_13,
        CUDA_CRT_13,
        CUDA_CCCL_13,
        NCCL_2_29,
    ],
    room: 1_300_000_000,
    cuda_room: 2_500_000_000,
};

const WHEEL_2_13: Wheel = Wheel {
    requirement: "torch==2.13.0",
    file: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    parts: WHEEL_PARTS,
};

const ZIP_PARTS: &[Part] = &[part("libtorch/include/", "include/"), part("libtorch/lib/", "lib/")];

/// Without `libtorch_cuda.so`: torch-sys links CUDA as soon as it is there.
const WHEEL_PARTS: &[Part] = &[
    part("torch/include/", "include/"),
    part("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
    part("torch/lib/libc10.so", "lib/libc10.so"),
    part("torch/lib/libtorch.so", "lib/libtorch.so"),
    part("torch/lib/libshm.so", "lib/libshm.so"),
    part("torch/lib/libtorch_global_deps.so", "lib/libtorch_global_deps.so"),
    part("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
];

/// Enough to link a program for a machine that has the rest; `libtorch_cuda.so` itself is linked against much more.
const CUDA_WHEEL_PARTS: &[Part] = &[
    part("torch/include/", "include/"),
    part("torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so"),
    part("torch/lib/libtorch_cuda.so", "lib/libtorch_cuda.so"),
    part("torch/lib/libc10.so", "lib/libc10.so"),
    part("torch/lib/libc10_cuda.so", "lib/libc10_cuda.so"),
    part("torch/lib/libtorch.so", "lib/libtorch.so"),
    part("torch/lib/libshm.so", "lib/libshm.so"),
    part("torch/lib/libtorch_global_deps.so", "lib/libtorch_global_deps.so"),
    part("torch/lib/libgomp.so.1", "lib/libgomp.so.1"),
];

/// The wheels' `libtorch_cpu.so` is linked against this and [`CUPTI_13`], CUDA or not.
const CUDA_RUNTIME_13: Wheel = Wheel {
    requirement: "nvidia-cuda-runtime==13.0.96",
    file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    parts: &[part("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13")],
};

const CUPTI_13: Wheel = Wheel {
    requirement: "nvidia-cuda-cupti==13.0.85",
    file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
    sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    parts: &[part("nvidia/cu13/lib/libcupti.so.13", "lib/libcupti.so.13")],
};

const CUDA_RUNTIME_PARTS: &[Part] =
    &[part("nvidia/cu13/include/", "cuda/include/"), part("nvidia/cu13/lib/libcudart.so.13", "lib/libcudart.so.13")];

/// Headers that those of CUDA's runtime include.
const CUDA_CRT_13: Wheel = Wheel {
    requirement: "nvidia-cuda-crt==13.0.88",
    file: "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4",
    parts: &[part("nvidia/cu13/include/", "cuda/include/")],
};

/// One header of it, which those of half-precision numbers include.
const CUDA_CCCL_13: Wheel = Wheel {
    requirement: "nvidia-cuda-cccl==13.0.85",
    file: "nvidia_cuda_cccl-13.0.85-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256: "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649",
    parts: &[part("nvidia/cu13/include/nv/", "cuda/include/nv/")],
};

/// The header alone. Each torch is compiled with one release of it, whose structures are a part of its own.
const NCCL_2_28: Wheel = Wheel {
    requirement: "nvidia-nccl-cu13==2.28.9",
    file: "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl",
    sha256: "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42",
    parts: &[part("nvidia/nccl/include/nccl.h", "cuda/include/nccl.h")],
};

const NCCL_2_29: Wheel = Wheel {
    requirement: "nvidia-nccl-cu13==2.29.7",
    file: "nvidia_nccl_cu13-2.29.7-py3-none-manylinux_2_18_x86_64.whl",
    sha256: "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
    parts: &[part("nvidia/nccl/include/nccl.h", "cuda/include/nccl.h")],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_whole_and_agree_with_the_version() {
        for release in ALL {
            assert!(release.zip.url.contains(release.version));
            assert!(release.version.starts_with(&format!("{}.", release.series())));
            for wheel in release.wheels.iter().chain(release.cuda_wheels) {
                assert_eq!(wheel.sha256.len(), 64, "{}", wheel.file);
                let version = wheel.requirement.split("==").nth(1).unwrap();
                assert!(wheel.file.contains(&format!("-{version}-")), "{}", wheel.file);
            }
            assert!(release.wheels[0].requirement.ends_with(release.version));
        }
    }

    #[test]
    fn another_release_is_of_another_series() {
        for release in ALL {
            assert_ne!(another(&release).series, release.series);
        }
    }

    #[test]
    fn a_release_is_found_by_its_series_and_others_are_refused_with_the_list() {
        assert_eq!(of_series("2.11").unwrap().version, "2.11.0");
        assert_eq!(of_series("2.12.1").unwrap().series(), "2.12");
        assert_eq!(of_series(&WANTED.series()).unwrap().version, WANTED.version);
        for name in ["2.10", "2.1", "2", "", "2.12.0", "2.130"] {
            let text = of_series(name).err().unwrap().to_string();
            assert_eq!(
                text,
                format!("libtorch {name} is not one that this source is tested with; there is: 2.11, 2.12, 2.13")
            );
        }
    }
}
