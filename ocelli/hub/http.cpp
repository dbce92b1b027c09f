#include "ocelli/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <memory>
#include <thread>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

namespace ocelli::hub {
namespace {

struct Transfer {
  CURL* curl = nullptr;
  Reply reply;
  const Sink* sink = nullptr;
  std::exception_ptr error;
};

size_t on_header(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) transfer.reply.headers.clear();  // a redirect's or a retry's
  const size_t colon = line.find(':');
  if (colon == line.npos || transfer.reply.headers.size() > 200) return size;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const size_t begin = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
  const size_t end = line.find_last_not_of(" \t\r\n") + 1;
  transfer.reply.headers[name] = begin < end ? line.substr(begin, end - begin) : "";
  return size;
}

size_t on_bytes(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  if (status >= 300 || !transfer.sink || !*transfer.sink) return size;
  try {
    (*transfer.sink)(transfer.reply, {data, size});
  } catch (...) {
    transfer.error = std::current_exception();
    return 0;
  }
  return size;
}

int on_progress(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return cancel_requested();
}

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListDeleter>;

void set_options(CURL* curl, const Settings& settings, const Request& request, Transfer& transfer) {
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, request.url.starts_with("https:") ? "https" : "http,https");
  set(CURLOPT_FOLLOWLOCATION, request.head ? 0L : 1L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_NOBODY, request.head ? 1L : 0L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "ocelli");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(settings.timeout_seconds * 1000));
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::ceil(settings.timeout_seconds)));
  set(CURLOPT_BUFFERSIZE, 256L * 1024);
  // Not CURLOPT_RESUME_FROM, which refuses a server that sends the whole file instead.
  const std::string range = fmt::format("{}-", request.offset);
  if (request.offset > 0) set(CURLOPT_RANGE, range.c_str());
  set(CURLOPT_HEADERFUNCTION, on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, on_bytes);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
}

}  // namespace

Reply send(const Settings& settings, const Request& request, const Sink& sink) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  if (kReady != CURLE_OK || !curl) fail(ErrorCode::internal, "libcurl does not start");
  throw_if_cancelled();
  Transfer transfer{curl.get(), {}, &sink, nullptr};
  set_options(curl.get(), settings, request, transfer);
  // libcurl drops this header when a redirect leaves the host or port.
  List headers;
  if (!settings.token.empty()) {
    headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + settings.token).c_str()));
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  }
  char message[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, message);
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.error) std::rethrow_exception(transfer.error);
  throw_if_cancelled();
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  if (code != CURLE_OK) transfer.reply.trouble = *message ? message : curl_easy_strerror(code);
  transfer.reply.unreachable = code == CURLE_COULDNT_RESOLVE_HOST ||
                               code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT;
  check(code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT, "{}: {}", request.url,
        transfer.reply.trouble);
  return std::move(transfer.reply);
}

std::string url_encode(std::string_view text, bool keep_slash) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 128 && (std::isalnum(byte) || c == '-' || c == '_' || c == '.' ||
                                      c == '~' || (c == '/' && keep_slash));
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", byte);
  }
  return out;
}

bool is_transient(const Reply& reply) {
  return reply.status == 408 || reply.status == 429 || reply.status >= 500 ||
         (!reply.trouble.empty() && reply.status < 400);
}

void back_off(const Settings& settings, int attempt, const Reply& reply) {
  double seconds = settings.backoff_seconds * std::pow(2.0, std::min(attempt, 6));
  if (const auto asked = reply.headers.find("retry-after"); asked != reply.headers.end()) {
    seconds = std::clamp(std::strtod(asked->second.c_str(), nullptr), seconds, 60.0);
  }
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    throw_if_cancelled();
    std::this_thread::sleep_for(
        std::min<std::chrono::duration<double>>(end - Clock::now(), std::chrono::milliseconds(50)));
  }
}

}  // namespace ocelli::hub
