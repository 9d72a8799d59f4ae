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
    /// An LZ4 block ("LZ4 Block Format Description"), without a frame.
    Lz4,
    /// The container of LZMA2.
    Xz,
    /// LZMA with its header of 13 bytes.
    Lzma,
    /// LZO1X.
    Lzo,
}

/// Decompresses one block, which gives at most `most` bytes; what follows it in `bytes` is left alone.
pub fn inflate(method: Method, bytes: &[u8], most: usize) -> Result<Vec<u8>, Failure> {
    let wrong = |e: String| Failure::error(format!("the compressed bytes are not sound: {e}"));
    match method {
        Method::Deflate | Method::Zlib => deflate(bytes, most, method == Method::Zlib),
        Method::Zstd => zstd(bytes, most),
        Method::Lz4 => lz4(bytes, most).ok_or_else(|| wrong("a length or distance leaves the block".into())),
        Method::Xz | Method::Lzma => {
            let mut out = Limited { bytes: Vec::new(), most };
            let mut input = bytes;
            let done = match method {
                Method::Xz => lzma_rs::xz_decompress(&mut input, &mut out),
                _ => lzma_rs::lzma_decompress(&mut input, &mut out),
            };
            done.map_err(|e| wrong(e.to_string()))?;
            Ok(out.bytes)
        }
        Method::Lzo => {
            // Its output is at most 255 times as long as its input, which a walk has bounded.
            let out = lzokay_native::decompress_all(bytes, None).map_err(|e| wrong(e.to_string()))?;
            if out.len() > most { Err(wrong("they give more bytes than a block has".into())) } else { Ok(out) }
        }
    }
}

/// Bytes that do not grow beyond a limit.
struct Limited {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        match self.bytes.len() + part.len() <= self.most {
            true => self.bytes.extend_from_slice(part),
            false => return Err(std::io::Error::other("they give more bytes than a block has")),
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sequences of literals and copies, up to the block's end or `most` bytes: EROFS keeps blocks whose end nobody needs, which no
/// library's safe decoder takes. None where the block is not sound.
fn lz4(bytes: &[u8], most: usize) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::with_capacity(most.min(1 << 20)), 0);
    // A length of 15 goes on in further bytes, up to one that is not 255.
    let length = |at: &mut usize, first: u8| -> Option<usize> {
        let mut n = usize::from(first);
        while n >= 15 {
            let more = *bytes.get(*at)?;
            *at += 1;
            n += usize::from(more);
            if more < 255 {
                break;
            }
        }
        Some(n)
    };
    while at < bytes.len() && out.len() < most {
        let token = bytes[at];
        at += 1;
        let literals = length(&mut at, token >> 4)?.min(most - out.len());
        out.extend_from_slice(bytes.get(at..)?.get(..literals)?);
        at += literals;
        if out.len() == most || at >= bytes.len() {
            break;
        }
        let distance = usize::from(u16::from_le_bytes(bytes.get(at..)?.first_chunk::<2>().copied()?));
        at += 2;
        let copied = (length(&mut at, token & 15)? + 4).min(most - out.len());
        let from = out.len().checked_sub(distance).filter(|_| distance > 0)?;
        for i in from..from + copied {
            out.push(out[i]);
        }
    }
    Some(out)
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
