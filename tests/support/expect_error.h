// An Error of a code whose message has all the parts.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "ocelli/base/error.h"

namespace ocelli {

template <typename F>
void expect_error(ErrorCode code, std::initializer_list<std::string> parts, F&& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << error.what() << "\nlacks: " << part;
    }
  }
}

}  // namespace ocelli
