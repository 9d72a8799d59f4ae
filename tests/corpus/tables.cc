// Makes RocksDB tables of many kinds: tables DIR writes DIR/NAME.sst. Built by tables.py (g++ -lrocksdb).
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

using namespace rocksdb;
namespace fs = std::filesystem;

static void check(const Status& status) {
  if (!status.ok()) {
    fprintf(stderr, "tables: %s\n", status.ToString().c_str());
    exit(1);
  }
}

// A table of one flush. With `versions`, some keys are written again and deleted, and snapshots keep the older ones.
static void make(const fs::path& dir, const std::string& name, BlockBasedTableOptions table, int keys, bool versions,
                 CompressionType compression = kNoCompression) {
  fs::path folder = dir / ("db-" + name);
  fs::remove_all(folder);
  Options options;
  options.create_if_missing = true;
  options.compression = compression;
  options.disable_auto_compactions = true;
  options.table_factory.reset(NewBlockBasedTableFactory(table));
  DB* db;
  check(DB::Open(options, folder, &db));
  for (int round = 0; round < (versions ? 3 : 1); round++) {
    for (int i = 0; i < keys; i++) {
      if (round && i % 7) continue;
      std::string key = "key" + std::to_string(1000000 + i * 3), value = "value-" + std::to_string(round) + "-" + std::to_string(i);
      check(round == 2 && i % 14 == 0 ? db->Delete(WriteOptions(), key) : db->Put(WriteOptions(), key, value));
    }
    db->GetSnapshot();
  }
  if (versions) {
    check(db->SingleDelete(WriteOptions(), "single"));
    check(db->Put(WriteOptions(), "big", std::string(100000, 'x')));
    check(db->Put(WriteOptions(), std::string(1500, 'L'), "long key"));
    check(db->Put(WriteOptions(), Slice("\0\xff\0", 3), ""));
  }
  check(db->Flush(FlushOptions()));
  delete db;
  for (auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".sst") fs::rename(entry.path(), dir / (name + ".sst"));
  fs::remove_all(folder);
}

int main(int, char** argv) {
  fs::path dir = argv[1];
  for (int version = 2; version <= 5; version++)
    for (auto index : {BlockBasedTableOptions::kBinarySearch, BlockBasedTableOptions::kTwoLevelIndexSearch,
                       BlockBasedTableOptions::kBinarySearchWithFirstKey})
      for (int restart : {1, 5}) {
        BlockBasedTableOptions table;
        table.format_version = version;
        table.index_type = index;
        table.block_size = 512;
        table.metadata_block_size = 256;
        table.index_block_restart_interval = restart;
        make(dir, "rocks_v" + std::to_string(version) + "_i" + std::to_string(index) + "_r" + std::to_string(restart), table, 2000, true);
      }
  for (auto sum : {kNoChecksum, kCRC32c, kxxHash, kxxHash64, kXXH3}) {
    BlockBasedTableOptions table;
    table.checksum = sum;
    make(dir, "rocks_sum" + std::to_string(sum), table, 500, true);
  }
  BlockBasedTableOptions hash, tiny, filter, plain;
  hash.data_block_index_type = BlockBasedTableOptions::kDataBlockBinaryAndHash;
  make(dir, "rocks_hash", hash, 2000, false);
  tiny.block_size = 64;
  make(dir, "rocks_tiny", tiny, 2000, true);
  filter.block_restart_interval = 1;
  filter.filter_policy.reset(NewBloomFilterPolicy(10));
  make(dir, "rocks_filter", filter, 2000, true);
  make(dir, "rocks_one", plain, 1, false);
  BlockBasedTableOptions aligned, whole, parted, ratio, ribbon, shortened;
  aligned.block_align = true;
  make(dir, "rocks_aligned", aligned, 2000, false);
  whole.use_delta_encoding = false;
  whole.block_size = 1024;
  make(dir, "rocks_whole_keys", whole, 2000, true);
  parted.index_type = BlockBasedTableOptions::kTwoLevelIndexSearch;
  parted.partition_filters = true;
  parted.filter_policy.reset(NewBloomFilterPolicy(10, false));
  parted.metadata_block_size = 128;
  parted.block_size = 256;
  make(dir, "rocks_parted", parted, 5000, true);
  ratio.data_block_index_type = BlockBasedTableOptions::kDataBlockBinaryAndHash;
  ratio.data_block_hash_table_util_ratio = 0.3;
  ratio.block_size = 16384;
  ratio.block_restart_interval = 2;
  make(dir, "rocks_hash_sparse", ratio, 5000, false);
  ribbon.filter_policy.reset(NewRibbonFilterPolicy(10));
  ribbon.block_size = 65536;
  ribbon.block_restart_interval = 64;
  make(dir, "rocks_ribbon", ribbon, 20000, true);
  shortened.index_shortening = BlockBasedTableOptions::IndexShorteningMode::kNoShortening;
  shortened.enable_index_compression = false;
  make(dir, "rocks_not_shortened", shortened, 3000, true);
  shortened.index_shortening = BlockBasedTableOptions::IndexShorteningMode::kShortenSeparatorsAndSuccessor;
  make(dir, "rocks_shortened", shortened, 3000, true);
  make(dir, "rocks_snappy", plain, 2000, false, kSnappyCompression);
  make(dir, "rocks_zlib", plain, 2000, false, kZlibCompression);
  make(dir, "rocks_lz4", plain, 2000, false, kLZ4Compression);
  make(dir, "rocks_zstd", plain, 2000, false, kZSTD);
  Options options;
  options.compression = kNoCompression;
  SstFileWriter writer(EnvOptions(), options);
  check(writer.Open(dir / "rocks_writer.sst"));
  for (int i = 0; i < 100; i++) check(writer.Put("k" + std::to_string(100 + i), "v"));
  check(writer.DeleteRange("a", "b"));
  check(writer.Finish());
}
