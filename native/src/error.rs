//! One error type for the crate; `py` maps it to the Python tree in `rtp_monolith/errors.py`.

use std::fmt;

/// What went wrong, with the stable code that callers outside see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The input cannot be read at all (a body that is not JSON, a record of an unknown layout).
    Malformed { code: &'static str, message: String },
    /// The input was read and is refused; `field` names the part.
    Invalid { code: &'static str, field: String, message: String },
    /// The disk refused: full, read-only, gone. The log accepts nothing more until it is opened again.
    Io { code: &'static str, message: String },
    /// Bytes on disk are not what was written.
    Corrupt { offset: u64, message: String },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn malformed(message: impl Into<String>) -> Self {
        Error::Malformed { code: "malformed_body", message: message.into() }
    }

    pub fn invalid(code: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Invalid { code, field: field.into(), message: message.into() }
    }

    pub fn corrupt(offset: u64, message: impl Into<String>) -> Self {
        Error::Corrupt { offset, message: message.into() }
    }

    pub fn code(&self) -> &'static str {
        match self {
            Error::Malformed { code, .. } | Error::Invalid { code, .. } | Error::Io { code, .. } => code,
            Error::Corrupt { .. } => "log_corrupt",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed { message, .. } | Error::Io { message, .. } => f.write_str(message),
            Error::Invalid { field, message, .. } if field.is_empty() => f.write_str(message),
            Error::Invalid { field, message, .. } => write!(f, "{field}: {message}"),
            Error::Corrupt { offset, message } => write!(f, "at offset {offset}: {message}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        let code = match e.raw_os_error() {
            Some(libc::ENOSPC) | Some(libc::EDQUOT) => "disk_full",
            Some(libc::EROFS) | Some(libc::EACCES) | Some(libc::EPERM) => "disk_read_only",
            _ => "disk_error",
        };
        Error::Io { code, message: e.to_string() }
    }
}
