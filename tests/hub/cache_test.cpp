#include "ocelli/hub/cache.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "tests/hub/hub_server.h"

namespace ocelli::hub {
namespace {

namespace fs = std::filesystem;

TEST(HubId, OnlyOrganisationAndName) {
  const auto id = parse_id("google/vit-base-patch16-224");
  ASSERT_TRUE(id);
  EXPECT_EQ(id->repo, "google/vit-base-patch16-224");
  EXPECT_EQ(id->revision, "main");
  EXPECT_EQ(parse_id("a/b@refs/pr/1")->revision, "refs/pr/1");
  EXPECT_EQ(parse_id("a/b@v1.0")->revision, "v1.0");
  for (const char* text :
       {"", "name", "a/b/c", "/a/b", "./a/b", "../b", "a/..", "a/b@", "a/b@../x", "a--b/c", "a/b.",
        "-a/b", "a/b c", "a@b/c", "~/a/b", "a/b@/x", "a/b@x//y"}) {
    EXPECT_FALSE(parse_id(text)) << text;
  }
}

TEST(HubPaths, StayInside) {
  EXPECT_TRUE(is_safe_path("a/b.json"));
  EXPECT_TRUE(is_safe_path("..a"));
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\nb"}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
}

class HubEnvironment : public ::testing::Test {
 protected:
  static constexpr const char* kNames[] = {"HF_HUB_CACHE",
                                           "HUGGINGFACE_HUB_CACHE",
                                           "HF_HOME",
                                           "XDG_CACHE_HOME",
                                           "HF_ENDPOINT",
                                           "HF_TOKEN",
                                           "HF_TOKEN_PATH",
                                           "HF_HUB_OFFLINE",
                                           "TRANSFORMERS_OFFLINE",
                                           "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                           "HF_HUB_DOWNLOAD_TIMEOUT"};
  void SetUp() override {
    for (const char* name : kNames) ::unsetenv(name);
    ::setenv("HOME", temp.path().c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : kNames) ::unsetenv(name);
  }
  TempFolder temp;
};

TEST_F(HubEnvironment, CacheFolderByPriority) {
  const auto cache = [] { return Settings::from_environment().cache; };
  EXPECT_EQ(cache(), temp.path() / ".cache/huggingface/hub");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(cache(), "/xdg/huggingface/hub");
  ::setenv("HF_HOME", "~/hf", 1);
  EXPECT_EQ(cache(), temp.path() / "hf/hub");
  ::setenv("HF_HUB_CACHE", "/cache", 1);
  EXPECT_EQ(cache(), "/cache");
}

TEST_F(HubEnvironment, TokenAndTheRest) {
  Settings settings = Settings::from_environment();
  EXPECT_EQ(settings.endpoint, "https://huggingface.co");
  EXPECT_EQ(settings.token, "");
  EXPECT_FALSE(settings.offline);
  fs::create_directories(temp.path() / ".cache/huggingface");
  write_file(temp.path() / ".cache/huggingface/token", "hf_file\n");
  EXPECT_EQ(Settings::from_environment().token, "hf_file");
  ::setenv("HF_TOKEN", " hf_variable\n", 1);
  EXPECT_EQ(Settings::from_environment().token, "hf_variable");
  ::setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(Settings::from_environment().token, "");
  ::unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
  ::setenv("HF_TOKEN", "a\r\nX-Evil: 1", 1);
  EXPECT_THROW(Settings::from_environment(), Error);
  ::unsetenv("HF_TOKEN");
  ::setenv("HF_ENDPOINT", "http://mirror", 1);
  ::setenv("HF_HUB_OFFLINE", "yes", 1);
  ::setenv("HF_HUB_DOWNLOAD_TIMEOUT", "2.5", 1);
  settings = Settings::from_environment();
  EXPECT_EQ(settings.endpoint, "http://mirror");
  EXPECT_TRUE(settings.offline);
  EXPECT_EQ(settings.timeout_seconds, 2.5);
}

// Written by huggingface_hub 2.4.0: tools/goldens/hub.py.
TEST(HubCache, ReadsWhatHuggingfaceHubWrote) {
  Settings settings;
  settings.cache = fs::path(OCELLI_SOURCE_DIR) / "tests/hub/data/hf_cache";
  const auto folder = find_cached(settings, {"org/whole", "main"});
  ASSERT_TRUE(folder);
  EXPECT_EQ(folder->filename(), std::string(40, 'a'));
  EXPECT_EQ(read_file(*folder / "config.json"), "{\"model_type\": \"vit\"}\n");
  EXPECT_EQ(read_file(*folder / "model.safetensors"), std::string(64, 'w'));
  EXPECT_EQ(find_cached(settings, {"org/whole", std::string(40, 'a')}), folder);
  EXPECT_FALSE(find_cached(settings, {"org/whole", "v2"}));
  EXPECT_FALSE(find_cached(settings, {"org/absent", "main"}));
  // Only its configuration was fetched.
  EXPECT_EQ(cached_commit(settings, {"org/part", "main"}), std::string(40, 'b'));
  EXPECT_FALSE(find_cached(settings, {"org/part", "main"}));
}

TEST(HubCache, ADamagedCacheIsNoModel) {
  TempFolder temp;
  Settings settings;
  settings.cache = temp.path();
  const fs::path folder = temp.path() / "models--a--b";
  const fs::path snapshot = folder / "snapshots/c1";
  fs::create_directories(folder / "refs");
  fs::create_directories(snapshot);
  write_file(folder / "refs/main", "../../..");
  EXPECT_EQ(cached_commit(settings, {"a/b", "main"}), "");
  write_file(folder / "refs/main", "c1\n");
  EXPECT_EQ(cached_commit(settings, {"a/b", "main"}), "c1");
  fs::create_symlink("../../blobs/gone", snapshot / "model.safetensors");
  EXPECT_FALSE(find_cached(settings, {"a/b", "main"}));
  fs::remove(snapshot / "model.safetensors");
  std::string missing;
  write_file(snapshot / "model.safetensors.index.json", "{\"weight_map\": [");
  EXPECT_FALSE(has_weights(snapshot, &missing));
  write_file(snapshot / "model.safetensors.index.json", R"({"weight_map": {"x": 7}})");
  EXPECT_FALSE(has_weights(snapshot, &missing));
}

}  // namespace
}  // namespace ocelli::hub
