//! Decompression of blocks that a walk named.

use crate::query::Failure;
use std::io::Read;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// RFC 1951, without a header.
    Deflate,
    /// RFC 1950.
    Zlib,
    /// RFC 8878.
    Zstd,
}

/// Decompresses one block, which gives at most `most` bytes; what follows it in `bytes` is left alone.
pub fn inflate(method: Method, bytes: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    match method {
        Method::Deflate | Method::Zlib => deflate(bytes, most, method == Method::Zlib),
        Method::Zstd => zstd(bytes, most),
    }
}

fn deflate(bytes: &[u8], most: usize, header: bool) -> Result<Vec<u8>, Failure> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let mut out = vec![0; most];
    let zlib = if header { inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER } else { 0 };
    let flags = zlib | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, count) = decompress(&mut DecompressorOxide::new(), bytes, &mut out, 0, flags);
    match status {
        // A full buffer is a whole block too: the stream may have an end mark behind it.
        TINFLStatus::Done | TINFLStatus::HasMoreOutput => {
            out.truncate(count);
            Ok(out)
        }
        status => Err(Failure::error(format!("the compressed bytes are not sound: {status:?}"))),
    }
}

fn zstd(bytes: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let wrong = |e: String| Failure::error(format!("the compressed bytes are not sound: {e}"));
    let decoder = ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|e| wrong(e.to_string()))?;
    let mut out = Vec::new();
    decoder.take(most as u64).read_to_end(&mut out).map_err(|e| wrong(e.to_string()))?;
    Ok(out)
}
