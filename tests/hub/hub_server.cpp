#include "tests/hub/hub_server.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace ocelli::hub {

using nlohmann::json;

namespace {

std::string digest(const char* kind, const std::string& bytes) {
  unsigned char out[EVP_MAX_MD_SIZE];
  size_t size = 0;
  EVP_Q_digest(nullptr, kind, nullptr, bytes.data(), bytes.size(), out, &size);
  std::string hex;
  for (size_t i = 0; i < size; ++i) hex += fmt::format("{:02x}", out[i]);
  return hex;
}

}  // namespace

std::string sha256(const std::string& bytes) {
  return digest("SHA256", bytes);
}

std::string git_sha1(const std::string& bytes) {
  return digest("SHA1", "blob " + std::to_string(bytes.size()) + '\0' + bytes);
}

HubServer::HubServer() {
  ::setenv("no_proxy", "127.0.0.1", 1);
  server_.set_keep_alive_max_count(1);
  server_.Get("/api/models/.*", [this](const auto& request, auto& response) {
    if (admit(request, response)) describe(request, response);
  });
  server_.Get("/.*/resolve/.*", [this](const auto& request, auto& response) {
    if (admit(request, response)) serve(request, response);
  });
  port_ = server_.bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_.listen_after_bind(); });
  while (!server_.is_running()) std::this_thread::yield();
}

HubServer::~HubServer() {
  server_.stop();
  thread_.join();
}

std::string HubServer::endpoint() const {
  return fmt::format("http://127.0.0.1:{}", port_);
}

Settings HubServer::settings(const std::filesystem::path& cache) const {
  Settings settings;
  settings.cache = cache;
  settings.endpoint = endpoint();
  settings.backoff_seconds = 0.01;
  settings.retries = 3;
  settings.timeout_seconds = 5;
  return settings;
}

std::vector<Seen> HubServer::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

int HubServer::count(const std::string& method, const std::string& part) const {
  int n = 0;
  for (const Seen& s : seen()) n += s.method == method && s.path.find(part) != std::string::npos;
  return n;
}

bool HubServer::admit(const httplib::Request& request, httplib::Response& response) {
  const std::string authorization = request.get_header_value("Authorization");
  {
    const std::lock_guard lock(mutex_);
    seen_.push_back(
        {request.method, request.path, request.get_header_value("Range"), authorization});
  }
  if (!error_code.empty()) response.set_header("X-Error-Code", error_code);
  if (refusals > 0) {
    --refusals;
    response.status = refusal;
    if (!retry_after.empty()) response.set_header("Retry-After", retry_after);
    return false;
  }
  if (!token.empty() && authorization != "Bearer " + token) {
    response.status = 401;
    return false;
  }
  return true;
}

std::string HubServer::etag(const ServedFile& file) const {
  return file.lfs ? sha256(file.bytes) : git_sha1(file.bytes);
}

void HubServer::describe(const httplib::Request& request, httplib::Response& response) {
  const std::string start = "/api/models/" + repo + "/revision/";
  if (request.path != start + branch && request.path != start + commit) {
    response.status = 404;
    return;
  }
  json siblings = json::array();
  for (const auto& [name, file] : files) {
    json entry = {{"rfilename", name}};
    if (describes_blobs) {
      entry["size"] = file.bytes.size();
      entry["blobId"] = git_sha1(file.bytes);
      if (file.lfs) entry["lfs"] = {{"sha256", etag(file)}, {"size", file.bytes.size()}};
    }
    siblings.push_back(entry);
  }
  response.set_content(json{{"id", repo}, {"sha", commit}, {"siblings", siblings}}.dump(),
                       "application/json");
}

void HubServer::serve(const httplib::Request& request, httplib::Response& response) {
  const std::string start = fmt::format("/{}/resolve/{}/", repo, commit);
  const bool known = request.path.starts_with(start);
  const auto entry = files.find(known ? request.path.substr(start.size()) : "");
  if (entry == files.end()) {
    response.status = 404;
    return;
  }
  response.set_header("X-Repo-Commit", commit);
  response.set_header("X-Linked-Size", std::to_string(entry->second.bytes.size()));
  response.set_header("X-Linked-Etag", fmt::format("\"{}\"", etag(entry->second)));
  if (!redirect.empty()) {
    response.set_redirect(redirect + request.path);
    return;
  }
  std::string bytes = entry->second.bytes;
  if (corrupted == entry->first) bytes[bytes.size() / 2] ^= 1;
  const bool cut =
      request.method == "GET" && bytes.size() > static_cast<size_t>(cut_after) && cuts > 0;
  if (cut) --cuts;
  if (!ranges) const_cast<httplib::Request&>(request).ranges.clear();
  const auto limit = cut ? static_cast<size_t>(cut_after) : bytes.size();
  const auto sent = std::make_shared<size_t>(0);
  response.set_content_provider(
      bytes.size(), "application/octet-stream",
      [bytes, limit, sent](size_t offset, size_t length, httplib::DataSink& sink) {
        const size_t n = std::min({length, limit - *sent, size_t{4096}});
        if (n == 0) return false;  // the connection breaks
        sink.write(bytes.data() + offset, n);
        *sent += n;
        return true;
      });
}

}  // namespace ocelli::hub
