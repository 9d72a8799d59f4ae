/* What people use to find where a block of a file lies: libext2fs' `bmap`, with the file system kept open and the inode read once. It
   does the walk only, but for the node of the tree that the inode holds.

   The declarations are those of ext2fs/ext2fs.h, so that the library is enough. */

#include <stdint.h>

typedef struct struct_ext2_filsys *ext2_filsys;
struct ext2_inode { uint32_t words[32]; };
struct struct_io_manager;
extern struct struct_io_manager *unix_io_manager;
extern long ext2fs_open(const char *, int flags, int superblock, unsigned block_size, struct struct_io_manager *, ext2_filsys *);
extern long ext2fs_read_inode(ext2_filsys, uint32_t ino, struct ext2_inode *);
extern long ext2fs_bmap2(ext2_filsys, uint32_t ino, struct ext2_inode *, char *buffer, int flags, uint64_t block, int *state, uint64_t *found);
extern long ext2fs_close(ext2_filsys);

/* The first file of a new file system. */
#define INO 12

static ext2_filsys volume;
static struct ext2_inode inode;

int rival_open(const char *path) {
    /* EXT2_FLAG_64BITS */
    if (ext2fs_open(path, 0x20000, 0, 0, unix_io_manager, &volume)) return 1;
    return ext2fs_read_inode(volume, INO, &inode) != 0;
}

/* Where a block of the file lies: 0 for nowhere, -1 for an error. */
int64_t rival_lookup(const uint64_t *args) {
    uint64_t found = 0;
    if (ext2fs_bmap2(volume, INO, &inode, 0, 0, args[0], 0, &found)) return -1;
    return (int64_t)found;
}

void rival_close(void) { ext2fs_close(volume); }
