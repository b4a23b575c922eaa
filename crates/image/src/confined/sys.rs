//! System calls that nix does not have, each as a safe function.

#![expect(unsafe_code, reason = "capabilities")]

use nix::errno::Errno;
use nix::libc;

/// Gives up all capabilities but those in the mask, for good.
pub(super) fn set_capabilities(mask: u32) -> nix::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Set {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let none = Set { effective: 0, permitted: 0, inheritable: 0 };
    let sets = [Set { effective: mask, permitted: mask, inheritable: 0 }, none];
    // SAFETY: header and both sets are laid out as version 3 of the interface says and outlive
    // the call, which only reads them.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(result).map(drop)
}
