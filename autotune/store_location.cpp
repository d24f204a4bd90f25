#include "autotune/store_location.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/log.h"

namespace quern::autotune {
namespace {

namespace fs = std::filesystem;

fs::path from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? fs::path(value) : fs::path();
}

void make_folder(const fs::path& folder) {
  struct stat about{};
  if (folder.empty() || stat(folder.c_str(), &about) == 0) return;
  make_folder(folder.parent_path());
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    fail("its folder {} cannot be made: {}", folder.string(), std::strerror(errno));
  }
}

void require_private(const fs::path& path, const struct stat& about, bool may_be_roots) {
  if (about.st_uid != geteuid() && !(may_be_roots && about.st_uid == 0)) {
    fail("{} belongs to someone else (user {})", path.string(), about.st_uid);
  }
  if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    // Folders for everybody, such as /tmp, are right as they are, and those of others are not the user's to change.
    const bool mendable = about.st_uid == geteuid() && (about.st_mode & S_ISVTX) == 0;
    fail("{} may be written by others (mode {:o}{})", path.string(), about.st_mode & 07777U,
         mendable ? "; chmod go-w mends it" : "");
  }
}

}  // namespace

fs::path store_path(const fs::path& option) {
  if (!option.empty()) return option;
  if (const fs::path path = from_environment("QUERN_STORE"); !path.empty()) return path;
  // The XDG base directory specification: a relative path counts as none.
  if (const fs::path cache = from_environment("XDG_CACHE_HOME"); cache.is_absolute()) return cache / "quern/store.db";
  const fs::path home = from_environment("HOME");
  if (!home.empty()) return home / ".cache/quern/store.db";
  static std::atomic<bool> warned = false;
  if (!warned.exchange(true)) {
    log_warning(
        "there is no place for the tuning store, so that nothing is remembered: neither QUERN_STORE nor XDG_CACHE_HOME "
        "nor HOME is set. Name a file with QUERN_STORE (or --store)");
  }
  return {};
}

void prepare_store_folder(const fs::path& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  make_folder(folder);
  struct stat about{};
  if (stat(folder.c_str(), &about) != 0) fail("its folder {} is not there: {}", folder.string(), std::strerror(errno));
  require_private(folder, about, true);
  if (stat(file.c_str(), &about) != 0) return;  // to be made
  if (!S_ISREG(about.st_mode)) fail("{} is not a file", file.string());
  require_private(file, about, false);
}

}  // namespace quern::autotune
