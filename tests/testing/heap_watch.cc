#include "tests/testing/heap_watch.h"

#include <malloc.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

char g_mark[64];
std::atomic<std::size_t> g_mark_size{0};
std::atomic<int> g_leaks{0};

void* Allocate(std::size_t size) {
  // Zeroed: what a former owner left behind is not ours to report.
  void* block = std::calloc(1, size == 0 ? 1 : size);
  if (block == nullptr) std::abort();
  return block;
}

void Free(void* block) noexcept {
  const std::size_t size = g_mark_size;
  if (block != nullptr && size > 0 && memmem(block, malloc_usable_size(block), g_mark, size) != nullptr)
    ++g_leaks;
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) {
  return Allocate(size);
}
void* operator new[](std::size_t size) {
  return Allocate(size);
}
void operator delete(void* block) noexcept {
  Free(block);
}
void operator delete[](void* block) noexcept {
  Free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  Free(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  Free(block);
}

namespace phonepki::testing {

HeapWatch::HeapWatch(std::string_view mark) {
  g_leaks = 0;
  memcpy(g_mark, mark.data(), std::min(mark.size(), sizeof g_mark));
  g_mark_size = std::min(mark.size(), sizeof g_mark);
}

HeapWatch::~HeapWatch() {
  g_mark_size = 0;
}

int HeapWatch::leaks() const {
  return g_leaks;
}

}  // namespace phonepki::testing
