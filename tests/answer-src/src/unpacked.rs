//! An image behind which its compressed metadata blocks stand unpacked, for walks that cannot decompress.

use crate::inflate::{Method, inflate};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use trav_runtime::image::Image;

/// Bytes of the room behind the image that each byte of the image has (`open_unpacked` of `std.squashfs`), as a power of two.
const ROOM_LOG: u32 = 14;

/// The most bytes that a block holds.
const HELD_BYTES_MAX: usize = 8192;

/// As many rooms are kept.
const ROOMS_MAX: usize = 1024;

/// The image, and for each byte P of it a room: when a compressed block stands at P, the room has it in a form that is not compressed.
pub struct Unpacked {
    image: Arc<dyn Image>,
    /// Where the rooms begin.
    base: u64,
    method: Method,
    rooms: Mutex<HashMap<u64, Arc<[u8]>>>,
}

impl Unpacked {
    /// Nothing is unpacked before it is read; none where the rooms would leave the space of offsets.
    pub fn new(image: Arc<dyn Image>, method: Method) -> Option<Self> {
        let base = image.len().next_multiple_of(1 << ROOM_LOG);
        (base < 1 << (62 - ROOM_LOG)).then(|| Unpacked { image, base, method, rooms: Mutex::default() })
    }

    /// Where the rooms begin.
    pub fn base(&self) -> u64 {
        self.base
    }

    fn room(&self, block: u64) -> io::Result<Arc<[u8]>> {
        let mut rooms = self.rooms.lock().expect("nobody panics with the lock held");
        if let Some(room) = rooms.get(&block) {
            return Ok(room.clone());
        }
        let room: Arc<[u8]> = self.unpack(block)?.into();
        if rooms.len() >= ROOMS_MAX {
            rooms.clear();
        }
        rooms.insert(block, room.clone());
        Ok(room)
    }

    /// The block's header says how many bytes follow; the highest bit that they are not compressed.
    fn unpack(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut header = [0; 2];
        self.inside(block, &mut header)?;
        let mut stored = vec![0; usize::from(u16::from_le_bytes(header) & 0x7fff)];
        self.inside(block + 2, &mut stored)?;
        let held = inflate(self.method, &stored, HELD_BYTES_MAX).map_err(|e| io::Error::other(e.to_string()))?;
        let mut room = (held.len() as u16 | 0x8000).to_le_bytes().to_vec();
        room.extend(held);
        Ok(room)
    }

    fn inside(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(buf.len() as u64) {
            Some(end) if end <= self.image.len() => self.image.read_at(offset, buf),
            _ => Err(io::Error::other("a block does not lie on the image")),
        }
    }
}

impl Image for Unpacked {
    fn len(&self) -> u64 {
        self.base + (self.image.len() << ROOM_LOG)
    }

    fn bytes(&self) -> Option<&[u8]> {
        None
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset < self.base {
            return self.inside(offset, buf);
        }
        let at = offset - self.base;
        let room = self.room(at >> ROOM_LOG)?;
        let start = (at & ((1 << ROOM_LOG) - 1)) as usize;
        let part = room.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(part.ok_or_else(|| io::Error::other("a metadata block is too short"))?);
        Ok(())
    }
}
