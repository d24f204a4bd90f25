#include "cli/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "quern/error.h"

namespace quern::cli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

// The descr of a dtype, without its byte order.
std::string descr(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "f8";
    case DType::f32:
      return "f4";
    case DType::f16:
      return "f2";
    case DType::bf16:
      return "u2";
    case DType::f8e4m3:
    case DType::f8e5m2:
      return "u1";
    case DType::boolean:
      return "b1";
    default:
      return fmt::format("{}{}", is_unsigned_integer(dtype) ? 'u' : 'i', byte_size(dtype));
  }
}

// Whether elements named `type`, in this machine's byte order, are those of the dtype. Floats that NumPy has no name
// for come as bits, or under the names that Python's ml_dtypes gives them.
bool holds(std::string_view type, DType dtype) {
  if (type.size() < 2 || type.front() == '>') return false;
  const std::string_view name = type.substr(1);
  if (dtype == DType::bf16) return name == "u2" || name == "V2";
  if (dtype == DType::f8e4m3) return name == "u1" || name == "V1";
  if (dtype == DType::f8e5m2) return name == "u1" || name == "V1" || name == "f1";
  return name == descr(dtype);
}

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(fmt::format("cannot read '{}': {}", path, reason));
}

// Fortran order to C order.
void reorder(HostArray& array) {
  const std::size_t size = static_cast<std::size_t>(byte_size(array.dtype));
  std::vector<std::byte> result(array.data.size());
  const std::size_t rank = array.shape.size();
  std::vector<std::int64_t> index(rank, 0);
  for (std::int64_t to = 0; to < array.size(); ++to) {
    std::int64_t from = 0;
    for (std::size_t d = rank; d-- > 0;) from = from * array.shape[d] + index[d];
    std::memcpy(&result[static_cast<std::size_t>(to) * size], &array.data[static_cast<std::size_t>(from) * size], size);
    for (std::size_t d = rank; d-- > 0;) {
      if (++index[d] < array.shape[d]) break;
      index[d] = 0;
    }
  }
  array.data = std::move(result);
}

// What stands between `open` and `close` behind a key of the header, a Python dictionary; nothing where the key is
// missing or its value begins otherwise.
std::optional<std::string> entry(std::string_view header, std::string_view key, char open, char close) {
  const std::size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return std::nullopt;
  const std::size_t begin = header.find_first_not_of(' ', at + key.size() + 3);
  if (begin == std::string_view::npos || header[begin] != open) return std::nullopt;
  const std::size_t end = header.find(close, begin + 1);
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(header.substr(begin + 1, end - begin - 1));
}

std::string_view without_spaces(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\n"), text.size()));
  return text;
}

// The numbers of "3, 4" or of Python 2's "3L, 4L".
std::vector<std::int64_t> parse_shape(const std::string& dims, const std::string& path) {
  std::vector<std::int64_t> shape;
  for (std::string_view rest = without_spaces(dims); !rest.empty(); rest = without_spaces(rest)) {
    std::int64_t size = -1;
    const auto [next, error] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
    if (error == std::errc::result_out_of_range) refuse(path, fmt::format("its shape ({}) is too large", dims));
    rest.remove_prefix(static_cast<std::size_t>(next - rest.data()));
    if (rest.starts_with('L')) rest.remove_prefix(1);
    rest = without_spaces(rest);
    if (size < 0 || !(rest.empty() || rest.starts_with(',')))
      refuse(path, fmt::format("its shape ({}) is not sizes from 0 on", dims));
    if (!rest.empty()) rest.remove_prefix(1);
    shape.push_back(size);
  }
  return shape;
}

bool is_fortran_order(std::string_view header, const std::string& path) {
  constexpr std::string_view kKey = "'fortran_order':";
  const std::size_t at = header.find(kKey);
  const std::string_view order = at == std::string_view::npos ? "" : without_spaces(header.substr(at + kKey.size()));
  if (!order.starts_with("True") && !order.starts_with("False")) {
    refuse(path, "its header has no fortran_order that is True or False");
  }
  return order.starts_with("True");
}

std::string read_header(std::ifstream& file, const std::string& path) {
  char start[8];
  if (!file.read(start, sizeof start) || std::string_view(start, 6) != kMagic) refuse(path, "it is no .npy file");
  const auto version = static_cast<unsigned char>(start[6]);
  unsigned char length[4] = {};
  if (!file.read(reinterpret_cast<char*>(length), version == 1 ? 2 : 4)) refuse(path, "its header is cut off");
  const std::uint32_t bytes =
      length[0] | length[1] << 8 | length[2] << 16 | static_cast<std::uint32_t>(length[3]) << 24;
  constexpr std::uint32_t kMaxHeader = 1 << 20;
  if (bytes > kMaxHeader)
    refuse(path, fmt::format("its header has {} bytes, at most {} make sense", bytes, kMaxHeader));
  std::string header(bytes, ' ');
  if (!file.read(header.data(), bytes)) refuse(path, "its header is cut off");
  return header;
}

}  // namespace

HostArray read_npy(const std::string& path, DType wanted, const std::string& name) {
  std::error_code no_folder;
  if (std::filesystem::is_directory(path, no_folder)) refuse(path, "it is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path, std::strerror(errno));
  const std::string header = read_header(file, path);
  const auto type = entry(header, "descr", '\'', '\''), dims = entry(header, "shape", '(', ')');
  if (!type) refuse(path, "its header names no dtype");
  if (!dims) refuse(path, "its header has no shape");
  if (!holds(*type, wanted)) {
    throw Error(fmt::format("'{}' holds elements '{}', but {} is {}, which is '<{}' in a .npy file; convert it first",
                            path, *type, name, quern::name(wanted), descr(wanted)));
  }
  HostArray array(wanted, parse_shape(*dims, path));
  if (!file.read(reinterpret_cast<char*>(array.data.data()), static_cast<std::streamsize>(array.data.size()))) {
    refuse(path, fmt::format("its shape ({}) needs {} bytes, it has {}", *dims, array.data.size(), file.gcount()));
  }
  if (is_fortran_order(header, path)) reorder(array);
  return array;
}

void write_npy(const std::string& path, const HostArray& array) {
  std::string shape;
  for (const std::int64_t extent : array.shape) shape += fmt::format("{}, ", extent);
  const char order = byte_size(array.dtype) == 1 ? '|' : '<';
  std::string header =
      fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}", order, descr(array.dtype), shape);
  constexpr std::size_t kAlignment = 64, kStart = 10;
  header.append(kAlignment - (kStart + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::ofstream file(path, std::ios::binary);
  const bool opened = file.is_open();
  file.write(kMagic.data(), kMagic.size()).put(1).put(0);
  file.put(static_cast<char>(header.size() & 0xff)).put(static_cast<char>(header.size() >> 8));
  file << header;
  file.write(reinterpret_cast<const char*>(array.data.data()), static_cast<std::streamsize>(array.data.size()));
  file.close();
  if (file) return;
  const std::string reason = std::strerror(errno);
  std::error_code ignored;
  if (opened && std::filesystem::is_regular_file(path, ignored))
    std::filesystem::remove(path, ignored);  // a part of it
  throw Error(fmt::format("cannot write '{}': {}", path, reason));
}

}  // namespace quern::cli
