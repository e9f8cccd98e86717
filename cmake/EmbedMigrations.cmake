# cmake -DOUTPUT=file.cc -DDIR=db/migrations -P EmbedMigrations.cmake : compiles V<version>__<name>.sql files in.
file(GLOB files ${DIR}/V*.sql)
list(SORT files)
set(rows "")
set(count 0)
foreach(file IN LISTS files)
  get_filename_component(stem ${file} NAME_WE)
  string(REGEX MATCH "^V0*([0-9]+)__(.+)$" ok ${stem})
  if(NOT ok)
    message(FATAL_ERROR "${file}: migrations are named V0001__what_it_does.sql")
  endif()
  set(version ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  file(READ ${file} sql)
  if(NOT sql MATCHES "^-- breaking: (no|yes)\n")
    message(FATAL_ERROR "${file}: the first line must be '-- breaking: no' or '-- breaking: yes'")
  endif()
  if(CMAKE_MATCH_1 STREQUAL "yes")
    set(breaking true)
  else()
    set(breaking false)
  endif()
  string(APPEND rows "    {${version}, \"${name}\", ${breaking}, R\"migration(${sql})migration\"},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Generated from db/migrations.
#include \"db/migrator.h\"
namespace phonepki::db {
const Migration kMigrations[] = {
${rows}};
const int kMigrationCount = ${count};
}  // namespace phonepki::db
")
