#pragma once
// The two kinds of failure. They look different on purpose: an Error is for what the user can mend, an
// InternalError is a fault of Quern itself and carries what is needed to report it.

#include <cstddef>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

#include "quern/export.h"

namespace quern {

// Something the user can mend. The text names the object, the reason with its numbers, and the way out.
class QUERN_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A fault of Quern. The text names the file, the condition and, where one is known, a reproducer.
class QUERN_API InternalError : public std::logic_error {
 public:
  explicit InternalError(const std::string& message, std::source_location where = std::source_location::current())
      : std::logic_error(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " + message),
        length_(message.size()) {}

  // The text without the place in Quern's source.
  std::string_view message() const {
    const std::string_view all = what();
    return all.substr(all.size() - length_);
  }

 private:
  std::size_t length_;
};

}  // namespace quern
