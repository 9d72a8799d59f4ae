//! Images made of parts of others: a partition, a virtual disk, a file.

use crate::parts::Part;
use crate::query::Failure;
use std::io;
use std::sync::Arc;
use trav_runtime::call::Images;
use trav_runtime::image::Image;

/// Where a stretch of a composed image comes from.
pub enum Source {
    /// From an offset of an image on.
    Image(Arc<dyn Image>, u64),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// An image of so many bytes. What no stretch covers reads as zeros.
pub struct Composed {
    len: u64,
    /// Start, length and source, in order and without overlap.
    stretches: Vec<(u64, u64, Source)>,
}

impl Composed {
    /// Stretches are given in order; those that leave their source are an error.
    pub fn new(len: u64, stretches: Vec<(u64, u64, Source)>) -> Result<Self, Failure> {
        for (start, length, source) in &stretches {
            let room = match source {
                Source::Image(image, at) => image.len().saturating_sub(*at),
                Source::Bytes(bytes) => bytes.len() as u64,
            };
            if *length > room {
                return Err(Failure::error(format!("{length} bytes at {start} do not lie on the image")));
            }
        }
        Ok(Composed { len, stretches })
    }

    /// A part of an image, which must lie inside it.
    pub fn part(image: &Arc<dyn Image>, start: u64, len: u64) -> Result<Self, Failure> {
        Composed::new(len, vec![(0, len, Source::Image(image.clone(), start))])
    }

    /// A file of an image.
    pub fn file(image: &Arc<dyn Image>, size: u64, parts: &[Part]) -> Result<Self, Failure> {
        let stretch = |p: &Part| {
            let length = p.length.min(size.saturating_sub(p.logical));
            Some((p.logical, length, Source::Image(image.clone(), p.physical?)))
        };
        Composed::new(size, parts.iter().filter_map(stretch).filter(|(_, length, _)| *length > 0).collect())
    }

    /// As the main image of a session.
    pub fn images(self) -> Images {
        Images::from([("image".into(), Arc::new(self) as Arc<dyn Image>)])
    }
}

impl Image for Composed {
    fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self) -> Option<&[u8]> {
        None
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        buf.fill(0);
        let end = offset + buf.len() as u64;
        let first = self.stretches.partition_point(|(start, length, _)| start + length <= offset);
        for (start, length, source) in &self.stretches[first..] {
            if *start >= end {
                break;
            }
            let (from, to) = (offset.max(*start), end.min(start + length));
            let target = &mut buf[(from - offset) as usize..(to - offset) as usize];
            let inside = from - start;
            match source {
                Source::Image(image, at) => image.read_at(at + inside, target)?,
                Source::Bytes(bytes) => target.copy_from_slice(&bytes[inside as usize..][..target.len()]),
            }
        }
        Ok(())
    }
}
