// One HTTP request at a time through libcurl, cancellable, with bytes handed on as they come.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "ocelli/hub/cache.h"

namespace ocelli::hub {

struct Request {
  std::string url;
  bool head = false;   // the headers alone, and no redirect followed
  int64_t offset = 0;  // asks for the bytes from here on
};

struct Reply {
  int status = 0;                              // 0: no answer
  std::map<std::string, std::string> headers;  // of the last answer; names in lower case
  std::string trouble;                         // why the transfer is not whole; empty when it is
  bool unreachable = false;                    // not even a connection
};

// Gets the bytes of an answer below 400 only; `reply` has its status and headers by then.
using Sink = std::function<void(const Reply& reply, std::string_view bytes)>;

// Sends the token to the endpoint's host only. Throws cancelled, and what `sink` throws.
Reply send(const Settings& settings, const Request& request, const Sink& sink = {});

// Percent-encodes all but unreserved characters and, when asked, '/'.
std::string url_encode(std::string_view text, bool keep_slash);

// Whether a later try may go better: no whole transfer, 408, 429, 5xx.
bool is_transient(const Reply& reply);

// Sleeps before retry number `attempt` (from 0), longer when the server asks for it (up to 60 s).
void back_off(const Settings& settings, int attempt, const Reply& reply);

}  // namespace ocelli::hub
