#include "ocelli/hub/download.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <future>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/hub/resolve.h"
#include "tests/hub/hub_server.h"

namespace ocelli::hub {
namespace {

namespace fs = std::filesystem;

std::string noise(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& c : bytes) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

class HubTest : public ::testing::Test {
 protected:
  void SetUp() override {
    hub.files = {{"config.json", {R"({"model_type": "vit"})"}},
                 {"preprocessor_config.json", {"{}"}},
                 {"README.md", {"read me"}},
                 {"onnx/model.onnx", {"onnx"}},
                 {"pytorch_model.bin", {noise(500), true}},
                 {"model.safetensors", {noise(100'000), true}}};
    settings = hub.settings(temp.path() / "hub");
    folder = settings.cache / "models--org--name";
    blob = folder / "blobs" / sha256(hub.files["model.safetensors"].bytes);
  }

  // The message of the Error that the call throws; its code must be `code`.
  template <typename F>
  std::string error(ErrorCode code, F&& call) {
    try {
      call();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }
  std::string download_error(ErrorCode code) {
    return error(code, [&] { download(id, settings); });
  }

  HubServer hub;
  TempFolder temp;
  Settings settings;
  fs::path folder, blob;
  const Id id{"org/name", "main"};
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(HubTest, FreshPullLaysTheFilesOutAsHuggingfaceHubDoes) {
  std::vector<std::pair<int64_t, int64_t>> progress;
  const Download d =
      download(id, settings, [&](int64_t a, int64_t b) { progress.emplace_back(a, b); });
  EXPECT_EQ(d.commit, hub.commit);
  EXPECT_EQ(d.folder, folder / "snapshots" / hub.commit);
  EXPECT_EQ(d.files, 3);
  EXPECT_EQ(d.fetched, 3);
  EXPECT_EQ(read_file(folder / "refs/main"), hub.commit);
  EXPECT_EQ(read_file(d.folder / "model.safetensors"), hub.files["model.safetensors"].bytes);
  EXPECT_EQ(fs::read_symlink(d.folder / "model.safetensors"),
            fs::path("../../blobs") / blob.filename());
  EXPECT_EQ(fs::read_symlink(d.folder / "config.json"),
            fs::path("../../blobs") / git_sha1(hub.files["config.json"].bytes));
  EXPECT_FALSE(fs::exists(d.folder / "pytorch_model.bin"));
  EXPECT_FALSE(fs::exists(d.folder / "README.md"));
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back().first, progress.back().second);
  EXPECT_EQ(progress.back().first, d.bytes);
  EXPECT_TRUE(std::ranges::is_sorted(progress));
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    EXPECT_FALSE(contains(entry.path().string(), ".tmp")) << entry.path();
    EXPECT_FALSE(contains(entry.path().string(), ".incomplete")) << entry.path();
  }
}

TEST_F(HubTest, SecondPullFetchesNothingAndMendsWhatIsMissing) {
  download(id, settings);
  const auto written = fs::last_write_time(blob);
  const Download again = download(id, settings);
  EXPECT_EQ(again.fetched, 0);
  EXPECT_EQ(again.bytes, 0);
  EXPECT_EQ(fs::last_write_time(blob), written);
  EXPECT_EQ(hub.count("GET", "/resolve/"), 3);
  fs::remove(again.folder / "config.json");
  EXPECT_EQ(download(id, settings).fetched, 0);  // only the link was gone
  fs::remove(blob);
  EXPECT_EQ(download(id, settings).fetched, 1);
  EXPECT_EQ(read_file(again.folder / "model.safetensors"), hub.files["model.safetensors"].bytes);
}

TEST_F(HubTest, AllFilesOnRequestWithLinksFromSubfolders) {
  const Download d = download(id, settings, {}, /*all=*/true);
  EXPECT_EQ(d.files, 6);
  EXPECT_EQ(read_file(d.folder / "onnx/model.onnx"), "onnx");
  EXPECT_EQ(fs::read_symlink(d.folder / "onnx/model.onnx"),
            fs::path("../../../blobs") / git_sha1("onnx"));
}

TEST_F(HubTest, NewCommitSharesUnchangedBlobs) {
  download(id, settings);
  hub.commit = std::string(40, 'd');
  hub.files["config.json"].bytes = R"({"model_type": "clip"})";
  const Download d = download(id, settings);
  EXPECT_EQ(d.fetched, 1);
  EXPECT_EQ(read_file(folder / "refs/main"), hub.commit);
  EXPECT_EQ(find_cached(settings, id), d.folder);
  EXPECT_TRUE(find_cached(settings, {"org/name", std::string(40, 'c')}));
}

TEST_F(HubTest, AnOddBranchIsEncodedAndRemembered) {
  hub.branch = "refs/pr/1";
  const Download d = download({"org/name", "refs/pr/1"}, settings);
  EXPECT_EQ(read_file(folder / "refs/refs/pr/1"), hub.commit);
  EXPECT_EQ(find_cached(settings, {"org/name", "refs/pr/1"}), d.folder);
}

TEST_F(HubTest, ShardsComeWithTheirIndexAndALackOfOneIsSaid) {
  hub.files.erase("model.safetensors");
  hub.files["model.safetensors.index.json"] = {
      R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})"};
  hub.files["model-00001-of-00002.safetensors"] = {noise(10), true};
  EXPECT_TRUE(
      contains(download_error(ErrorCode::corrupt_data), "model-00002-of-00002.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "refs/main"));
  EXPECT_FALSE(find_cached(settings, id));
  hub.files["model-00002-of-00002.safetensors"] = {noise(11), true};
  EXPECT_EQ(download(id, settings).files, 5);
  EXPECT_TRUE(find_cached(settings, id));
}

TEST_F(HubTest, InterruptedTransferIsResumedWithinOneCall) {
  hub.cuts = 2;
  hub.cut_after = 30'000;
  const Download d = download(id, settings);
  EXPECT_EQ(read_file(d.folder / "model.safetensors"), hub.files["model.safetensors"].bytes);
  std::vector<std::string> ranges;
  for (const Seen& s : hub.seen()) {
    if (contains(s.path, "model.safetensors")) ranges.push_back(s.range);
  }
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=30000-", "bytes=60000-"}));
  EXPECT_EQ(d.bytes, 100'000 + 21 + 2);  // nothing twice
}

TEST_F(HubTest, InterruptedDownloadIsResumedByTheNextCall) {
  settings.retries = 0;
  hub.cuts = 1;
  hub.cut_after = 30'000;
  download_error(ErrorCode::io);
  fs::path incomplete = blob;
  incomplete += ".incomplete";
  ASSERT_EQ(fs::file_size(incomplete), 30'000u);
  EXPECT_FALSE(find_cached(settings, id));
  EXPECT_EQ(download(id, settings).bytes, 70'000);
  EXPECT_EQ(read_file(blob), hub.files["model.safetensors"].bytes);
  EXPECT_FALSE(fs::exists(incomplete));
}

TEST_F(HubTest, ServerWithoutRangesStartsOver) {
  hub.ranges = false;
  hub.cuts = 1;
  const Download d = download(id, settings);
  EXPECT_EQ(read_file(d.folder / "model.safetensors"), hub.files["model.safetensors"].bytes);
}

TEST_F(HubTest, AStaleBeginningIsThrownAway) {
  for (const size_t size : {size_t{5000}, size_t{100'000}, size_t{200'000}}) {
    fs::path incomplete = blob;
    incomplete += ".incomplete";
    fs::create_directories(blob.parent_path());
    fs::remove(blob);
    write_file(incomplete, std::string(size, 'x'));
    download(id, settings);
    EXPECT_EQ(read_file(blob), hub.files["model.safetensors"].bytes) << size;
  }
}

TEST_F(HubTest, WrongChecksumIsRefusedAndLeavesNothing) {
  hub.corrupted = "model.safetensors";
  EXPECT_TRUE(contains(download_error(ErrorCode::corrupt_data), "model.safetensors"));
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_FALSE(fs::exists(blob.string() + ".incomplete"));
  EXPECT_FALSE(find_cached(settings, id));
  hub.corrupted = "config.json";  // checked by git's blob sha1
  fs::remove_all(folder);
  EXPECT_TRUE(contains(download_error(ErrorCode::corrupt_data), "config.json"));
}

TEST_F(HubTest, TransientRefusalsAreRetried) {
  hub.refusals = 2;
  EXPECT_EQ(download(id, settings).fetched, 3);
  hub.refusals = 100;
  EXPECT_TRUE(contains(download_error(ErrorCode::io), "503"));
}

TEST_F(HubTest, MissingRepositoryAndRevision) {
  const auto pull = [&](const Id& what) {
    return error(ErrorCode::not_found, [&] { download(what, settings); });
  };
  EXPECT_TRUE(contains(pull({"org/other", "main"}), "org/other"));
  hub.error_code = "RevisionNotFound";
  EXPECT_TRUE(contains(pull({"org/name", "v9"}), "no revision 'v9'"));
  EXPECT_EQ(hub.count("GET", "/api/"), 2);  // not retried
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(HubTest, DeniedAccessAsksForAToken) {
  hub.token = "hf_secret";
  EXPECT_TRUE(contains(download_error(ErrorCode::io), "HF_TOKEN"));
  hub.error_code = "GatedRepo";
  EXPECT_TRUE(contains(download_error(ErrorCode::io), "gated"));
  settings.token = "hf_other";
  const std::string message = download_error(ErrorCode::io);
  EXPECT_FALSE(contains(message, "hf_other")) << message;
  settings.token = "hf_secret";
  EXPECT_EQ(download(id, settings).fetched, 3);
}

TEST_F(HubTest, TheTokenStaysWithTheHub) {
  HubServer store;
  store.files = hub.files;
  hub.redirect = store.endpoint();
  hub.token = settings.token = "hf_secret";
  EXPECT_EQ(download(id, settings).fetched, 3);
  EXPECT_EQ(store.seen().size(), 3u);
  for (const Seen& s : store.seen()) EXPECT_EQ(s.authorization, "");
  for (const Seen& s : hub.seen()) EXPECT_EQ(s.authorization, "Bearer hf_secret");
}

TEST_F(HubTest, RedirectedTransfersResumeToo) {
  HubServer store;
  store.files = hub.files;
  store.cuts = 1;
  hub.redirect = store.endpoint();
  EXPECT_EQ(download(id, settings).bytes, 100'000 + 21 + 2);
}

TEST_F(HubTest, NamesAreAskedForWhenTheDescriptionLacksThem) {
  hub.describes_blobs = false;
  const Download d = download(id, settings);
  EXPECT_EQ(hub.count("HEAD", "/resolve/"), 3);
  EXPECT_EQ(fs::read_symlink(d.folder / "model.safetensors").filename(), blob.filename());
}

TEST_F(HubTest, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name :
       {"../evil.json", "/etc/evil.json", "a//b.json", "a/../../b.json", "a\\b.json"}) {
    hub.files = {{name, {"x"}}, {"model.safetensors", {"y", true}}};
    EXPECT_TRUE(contains(download_error(ErrorCode::corrupt_data), "leave its folder")) << name;
  }
  hub.files = {{"model.safetensors", {"y", true}}};
  hub.commit = "../../x";
  download_error(ErrorCode::corrupt_data);
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(HubTest, NoWeightsOrSeveral) {
  hub.files = {{"config.json", {"{}"}}};
  EXPECT_TRUE(contains(download_error(ErrorCode::not_found), "weights"));
  hub.files["a.pth"] = hub.files["b.pth"] = {"x", true};
  EXPECT_TRUE(contains(download_error(ErrorCode::not_found), "weights"));
  hub.files.erase("b.pth");
  EXPECT_EQ(download(id, settings).files, 2);
}

TEST_F(HubTest, UnreachableHubIsSaidAtOnce) {
  settings.endpoint = "http://127.0.0.1:1";
  settings.backoff_seconds = 60;
  const std::string message = download_error(ErrorCode::io);
  EXPECT_TRUE(contains(message, "cannot be reached") && contains(message, "127.0.0.1:1"))
      << message;
  settings.endpoint = "ftp://127.0.0.1";
  download_error(ErrorCode::invalid_argument);
}

TEST_F(HubTest, AHubThatNeverAnswersIsGivenUp) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  settings.endpoint = fmt::format("http://127.0.0.1:{}", ntohs(address.sin_port));
  settings.timeout_seconds = 1;
  settings.retries = 0;
  EXPECT_TRUE(contains(download_error(ErrorCode::io), "cannot be reached"));
  ::close(listener);
}

TEST_F(HubTest, TheServerMayAskForPatience) {
  hub.refusals = 1;
  hub.refusal = 429;
  hub.retry_after = "1";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(download(id, settings).fetched, 3);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(900));
}

TEST_F(HubTest, GarbageForAnAnswer) {
  httplib::Server odd;
  odd.Get(".*",
          [](const auto&, auto& response) { response.set_content("<html>hello", "text/html"); });
  const int port = odd.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { odd.listen_after_bind(); });
  while (!odd.is_running()) std::this_thread::yield();
  settings.endpoint = fmt::format("http://127.0.0.1:{}", port);
  EXPECT_TRUE(contains(download_error(ErrorCode::corrupt_data), "not a model's description"));
  odd.stop();
  thread.join();
}

TEST_F(HubTest, CancellationKeepsOnlyTheBeginning) {
  const auto stop = [](int64_t done, int64_t) {
    if (done > 40'000) request_cancel();
  };
  error(ErrorCode::cancelled, [&] { download(id, settings, stop); });
  clear_cancel();
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_GT(fs::file_size(blob.string() + ".incomplete"), 0u);
  EXPECT_FALSE(fs::exists(folder / "refs/main"));
  EXPECT_LT(download(id, settings).bytes, 100'000);
  EXPECT_EQ(read_file(blob), hub.files["model.safetensors"].bytes);
}

TEST_F(HubTest, ConcurrentUsersFetchOnce) {
  hub.files["model.safetensors"].bytes = noise(3'000'000);
  blob = folder / "blobs" / sha256(hub.files["model.safetensors"].bytes);
  std::vector<std::future<Download>> users;
  for (int i = 0; i < 4; ++i) {
    users.push_back(std::async(std::launch::async, [&] { return download(id, settings); }));
  }
  int fetched = 0;
  for (auto& user : users) fetched += user.get().fetched;
  EXPECT_EQ(fetched, 3);
  EXPECT_EQ(hub.count("GET", "model.safetensors"), 1);
  EXPECT_EQ(read_file(blob), hub.files["model.safetensors"].bytes);
}

TEST_F(HubTest, WaitingForAnotherProcessCanBeCancelled) {
  const fs::path lock =
      settings.cache / ".locks/models--org--name" / (blob.filename().string() + ".lock");
  fs::create_directories(lock.parent_path());
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT, 0664);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  auto user = std::async(std::launch::async, [&] { return download(id, settings); });
  EXPECT_EQ(user.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  request_cancel();
  error(ErrorCode::cancelled, [&] { user.get(); });
  clear_cancel();
  ::close(fd);
}

TEST_F(HubTest, DiskFullIsSaidAndKeepsWhatCame) {
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{50'000, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = download_error(ErrorCode::io);
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(contains(message, "cannot be written")) << message;
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_EQ(fs::file_size(blob.string() + ".incomplete"), 50'000u);
  EXPECT_EQ(download(id, settings).bytes, 50'000);
}

TEST_F(HubTest, ResolveDownloadsOnceAndThenAsksNobody) {
  const fs::path first = resolve("org/name", settings);
  EXPECT_EQ(first, folder / "snapshots" / hub.commit);
  const size_t requests = hub.seen().size();
  EXPECT_EQ(resolve("org/name@main", settings), first);
  EXPECT_EQ(resolve("org/name@" + hub.commit, settings), first);
  EXPECT_EQ(hub.seen().size(), requests);
  settings.offline = true;
  EXPECT_EQ(resolve("org/name", settings), first);
  EXPECT_TRUE(contains(error(ErrorCode::not_found, [&] { resolve("org/other", settings); }),
                       "HF_HUB_OFFLINE"));
  error(ErrorCode::io, [&] { download(id, settings); });
  EXPECT_EQ(hub.seen().size(), requests);
}

TEST_F(HubTest, ResolveTakesPathsAsTheyAre) {
  fs::create_directories(temp.path() / "org/name");
  EXPECT_EQ(resolve((temp.path() / "org/name").string(), settings), temp.path() / "org/name");
  const std::string message = error(ErrorCode::not_found, [&] { resolve("./no/such", settings); });
  EXPECT_TRUE(contains(message, "no such file or folder"));
  EXPECT_TRUE(hub.seen().empty());
}

TEST_F(HubTest, TheDefaultModelCanBeSet) {
  ::setenv("OCELLI_DEFAULT_MODEL", temp.path().c_str(), 1);
  EXPECT_EQ(resolve("default", settings), temp.path());
  ::setenv("OCELLI_DEFAULT_MODEL", (temp.path() / "none").c_str(), 1);
  error(ErrorCode::not_found, [&] { resolve("default", settings); });
  ::unsetenv("OCELLI_DEFAULT_MODEL");
}

}  // namespace
}  // namespace ocelli::hub
