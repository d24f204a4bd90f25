#pragma once
// Where the tuning store lies, and whether a file there can be trusted: a binary in it is code that will run.

#include <filesystem>
#include <string>

namespace quern::autotune {

// `option` where it is given, else $QUERN_STORE, else $XDG_CACHE_HOME/quern/store.db, else ~/.cache/quern/store.db.
// ":memory:" is a store that ends with the process. Empty: there is no home folder.
std::filesystem::path store_path(const std::filesystem::path& option = {});

// Makes the missing folders above `file`, for this user alone (0700). Throws Error with the reason when the file cannot
// be trusted: its folder or itself belongs to someone else or may be written by others, or it is no regular file.
void prepare_store_folder(const std::filesystem::path& file);

}  // namespace quern::autotune
