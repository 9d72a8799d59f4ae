//! The functions of `trav.h`.
//!
//! What C hands over is taken as the header says: pointers are good for the sizes given with them, texts end in zero, a hook comes from
//! `trav_attach` and is not closed. A null pointer is refused. No panic leaves: an `extern "C"` function ends the process instead.

#![allow(unsafe_code, reason = "pointers from C")]

use crate::{Attached, Error};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use trav_runtime::hook::{Canceller, Options};

const DONE: c_int = 0;
const ROW: c_int = 1;
const DIRECT: c_uint = 1;
const NO_NATIVE: c_uint = 2;

thread_local! {
    /// What the last call that failed has to say.
    static LAST: RefCell<CString> = RefCell::default();
}

/// The number for C; the text is kept.
fn status(done: Result<c_int, Error>) -> c_int {
    let (number, text) = match done {
        Ok(number) => return number,
        Err(Error::Fault(text)) => (-1, text),
        Err(Error::Call(text)) => (-2, text),
        Err(Error::Refused(text)) => (-3, text),
        Err(Error::Io(text)) => (-4, text),
        Err(Error::Cancelled(text)) => (-5, text),
    };
    // A zero byte would end the text early.
    let text = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    LAST.with_borrow_mut(|last| *last = text);
    number
}

fn null(what: &str) -> Error {
    Error::Call(format!("`{what}` is NULL"))
}

/// # Safety
/// Null, or a text that ends in zero and outlives the call.
unsafe fn text<'a>(from: *const c_char, what: &str) -> Result<&'a str, Error> {
    if from.is_null() {
        return Err(null(what));
    }
    // SAFETY: as the caller says.
    let text = unsafe { CStr::from_ptr(from) };
    text.to_str().map_err(|_| Error::Call(format!("`{what}` is not UTF-8 text")))
}

/// # Safety
/// Null, or good for reading so many bytes while the call lasts.
unsafe fn bytes<'a>(from: *const c_void, size: usize, what: &str) -> Result<&'a [u8], Error> {
    match (from.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null(what)),
        // SAFETY: as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(from.cast(), size) }),
    }
}

/// # Safety
/// Null, or good for reading and writing so many bytes that nobody else uses while the call lasts.
unsafe fn bytes_mut<'a>(to: *mut c_void, size: usize, what: &str) -> Result<&'a mut [u8], Error> {
    match (to.is_null(), size) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(null(what)),
        (false, _) => {
            // The caller's structure need not have been written yet.
            // SAFETY: as the caller says; all bytes have a value before they are a slice.
            unsafe {
                to.write_bytes(0, size);
                Ok(std::slice::from_raw_parts_mut(to.cast(), size))
            }
        }
    }
}

/// # Safety
/// Null, or a hook that is not closed and that nobody else uses while the call lasts.
unsafe fn attached<'a>(hook: *mut Attached) -> Result<&'a mut Attached, Error> {
    // SAFETY: as the caller says.
    unsafe { hook.as_mut() }.ok_or_else(|| null("hook"))
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_attach(
    spec: *const c_char,
    traversal: *const c_char,
    file: *const c_char,
    hook: *const c_char,
    flags: c_uint,
    to: *mut *mut Attached,
) -> c_int {
    let attach = || {
        if to.is_null() {
            return Err(null("attached"));
        }
        // SAFETY: texts, as the header says.
        let (spec, traversal, file, hook) = unsafe {
            let hook = if hook.is_null() { None } else { Some(text(hook, "hook")?) };
            (text(spec, "spec")?, text(traversal, "traversal")?, text(file, "file")?, hook)
        };
        let options = Options { direct: flags & DIRECT != 0, fall_back: flags & NO_NATIVE == 0, ..Options::default() };
        let attached = Box::new(crate::attach(spec, traversal, file, hook, options)?);
        // SAFETY: a pointer that can be written, as the header says.
        unsafe { to.write(Box::into_raw(attached)) };
        Ok(DONE)
    };
    status(attach())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_choice(hook: *const Attached) -> *const c_char {
    // SAFETY: a hook, as the header says.
    unsafe { hook.as_ref() }.map_or(c"".as_ptr(), |attached| attached.choice.as_ptr())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_arguments(
    hook: *mut Attached,
    count: usize,
    texts: *const *const c_char,
    args: *mut c_void,
    args_size: usize,
) -> c_int {
    let lay_out = || {
        if texts.is_null() && count > 0 {
            return Err(null("texts"));
        }
        // SAFETY: `count` texts and an area of that size, as the header says.
        let (attached, texts, args) = unsafe {
            let texts = (0..count).map(|i| text(*texts.add(i), "texts")).collect::<Result<Vec<_>, _>>()?;
            (attached(hook)?, texts, bytes_mut(args, args_size, "args")?)
        };
        attached.arguments(&texts, args).map(|()| DONE)
    };
    status(lay_out())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_lookup(
    hook: *mut Attached,
    args: *const c_void,
    args_size: usize,
    result: *mut c_void,
    result_size: usize,
) -> c_int {
    let look_up = || {
        // The arguments may be part of the result's memory.
        // SAFETY: areas of these sizes, as the header says.
        let args = unsafe { bytes(args, args_size, "args")? }.to_vec();
        // SAFETY: as before; no other reference is left.
        let (attached, result) = unsafe { (attached(hook)?, bytes_mut(result, result_size, "result")?) };
        attached.hook.result(&args, result)?;
        Ok(DONE)
    };
    status(look_up())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_begin(hook: *mut Attached, args: *const c_void, args_size: usize) -> c_int {
    let begin = || {
        // SAFETY: an area of that size, as the header says.
        let (attached, args) = unsafe { (attached(hook)?, bytes(args, args_size, "args")?) };
        attached.hook.begin(args)?;
        Ok(DONE)
    };
    status(begin())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_next(hook: *mut Attached, row: *mut c_void, row_size: usize) -> c_int {
    let next = || {
        // SAFETY: an area of that size, as the header says.
        let (attached, row) = unsafe { (attached(hook)?, bytes_mut(row, row_size, "row")?) };
        Ok(if attached.hook.row(row)? { ROW } else { DONE })
    };
    status(next())
}

/// What the last call of this thread that failed has to say.
#[unsafe(no_mangle)]
pub extern "C" fn trav_error() -> *const c_char {
    LAST.with_borrow(|last| last.as_ptr())
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_canceller(hook: *const Attached) -> *mut Canceller {
    // SAFETY: a hook, as the header says.
    let attached = unsafe { hook.as_ref() };
    attached.map_or(std::ptr::null_mut(), |attached| Box::into_raw(Box::new(attached.hook.canceller())))
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_cancel(canceller: *const Canceller) {
    // SAFETY: a canceller that is not closed, as the header says; it is shared by threads.
    if let Some(canceller) = unsafe { canceller.as_ref() } {
        canceller.cancel();
    }
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_revive(hook: *mut Attached) -> c_int {
    // SAFETY: a hook, as the header says.
    let revive = unsafe { attached(hook) }.map(|attached| {
        attached.hook.revive();
        DONE
    });
    status(revive)
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_canceller_close(canceller: *mut Canceller) {
    if !canceller.is_null() {
        // SAFETY: it was made by `trav_canceller` of a box, and is not closed.
        drop(unsafe { Box::from_raw(canceller) });
    }
}

/// # Safety
/// As `trav.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trav_close(hook: *mut Attached) {
    if !hook.is_null() {
        // SAFETY: it was made by `trav_attach` of a box, and is not closed.
        drop(unsafe { Box::from_raw(hook) });
    }
}

/// What threads share is made for it.
const fn is_shared<T: Send + Sync>() {}
const _: () = is_shared::<Canceller>();
