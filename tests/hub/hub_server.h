// A hub on the loopback address, as far as downloads need one, with faults to order.
#pragma once

#include <httplib.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ocelli/hub/cache.h"
#include "tests/support/temp_folder.h"

namespace ocelli::hub {

struct ServedFile {
  std::string bytes;
  bool lfs = false;
};

struct Seen {
  std::string method, path, range, authorization;
};

std::string sha256(const std::string& bytes);
std::string git_sha1(const std::string& bytes);

class HubServer {
 public:
  HubServer();
  ~HubServer();

  std::string endpoint() const;
  Settings settings(const std::filesystem::path& cache) const;
  std::vector<Seen> seen() const;
  int count(const std::string& method, const std::string& part) const;

  // Set before the requests that they are for.
  std::string repo = "org/name", commit = std::string(40, 'c'), branch = "main";
  std::map<std::string, ServedFile> files;
  std::string token;              // needed when not empty
  std::string error_code;         // X-Error-Code of refusals
  bool describes_blobs = true;    // in the model's description
  bool ranges = true;             // whether Range is obeyed
  std::string redirect;           // endpoint that serves the files' bytes
  std::string corrupted;          // file of which one byte is flipped on its way
  std::atomic<int> refusals = 0;  // this many requests are answered with `refusal`
  int refusal = 503;
  std::string retry_after;
  std::atomic<int> cuts = 0;          // this many file transfers break off
  std::atomic<int> cut_after = 1000;  // bytes

 private:
  bool admit(const httplib::Request& request, httplib::Response& response);
  void describe(const httplib::Request& request, httplib::Response& response);
  void serve(const httplib::Request& request, httplib::Response& response);
  std::string etag(const ServedFile& file) const;

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::vector<Seen> seen_;
};

}  // namespace ocelli::hub
