// A statement with a name: the name is its prepared statement and its label in logs.
#pragma once

namespace phonepki::db {

struct Query {
  const char* name;
  const char* sql;
};

}  // namespace phonepki::db
