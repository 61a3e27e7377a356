//! What the kernel counts of one program. By its descriptor: looking for programs by number would take CAP_SYS_ADMIN.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;

use super::{KernelError, ProgramStats};

/// Of one loaded program.
pub(super) fn of(program: &OwnedFd) -> Result<ProgramStats, KernelError> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut size = size_of_val(&info) as u32;
    // SAFETY: an open descriptor, and a buffer with its size.
    let result = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(
            program.as_raw_fd(),
            std::ptr::from_mut(&mut info).cast(),
            &raw mut size,
        )
    };
    if result < 0 {
        let source = std::io::Error::from_raw_os_error(-result);
        return Err(KernelError::System { what: "reading a program's statistics".to_owned(), source });
    }
    let name: Vec<u8> = info.name.iter().map(|letter| *letter as u8).collect();
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default().to_string_lossy().into_owned();
    let (runs, ns) = (info.run_cnt, info.run_time_ns);
    Ok(ProgramStats { name, runs, ns, recursion_misses: info.recursion_misses })
}
