// A program outside the project: uses the installed headers and library, and catches the library's exception.
#include <quern/dtype.h>
#include <quern/error.h>

#include <cstdio>

int main() {
  const auto dtype = quern::parse_dtype("bf16");
  if (!dtype || quern::byte_size(*dtype) != 2) return 1;
  std::puts("outside: ok");
  return 0;
}
