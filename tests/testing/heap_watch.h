// Finds secrets that are given back to the heap without having been wiped. Linking it replaces operator new
// and delete.
#pragma once

#include <string_view>

namespace phonepki::testing {

// While it lives, counts the freed blocks that still hold `mark`. One at a time.
class HeapWatch {
 public:
  explicit HeapWatch(std::string_view mark);
  ~HeapWatch();
  HeapWatch(const HeapWatch&) = delete;
  HeapWatch& operator=(const HeapWatch&) = delete;

  int leaks() const;
};

}  // namespace phonepki::testing
