#include "ocelli/train/run.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/image/canvas.h"
#include "tests/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const RunConfig kConfig = {.text = "seed = 1\n", .total_steps = 100, .keep = 2, .metric = "top1"};

void log(RunFolder& run, int64_t step, double loss) {
  const Metric values[] = {{"loss", loss}};
  run.log(step, values);
}

void checkpoint(RunFolder& run, int64_t step, double top1) {
  const Metric values[] = {{"top1", top1}};
  run.log(step, values);
  run.checkpoint(step, {{"rng", step}},
                 [&](const fs::path& to) { write_file(to / "model.txt", std::to_string(step)); });
}

TEST(RunFolder, HoldsWhatWasMeasured) {
  const TempFolder folder;
  const fs::path path = folder / "run";
  RunFolder run(path, kConfig, false);
  log(run, 1, 0.1 + 0.2);
  log(run, 2, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(read_file(path / "config.toml"), kConfig.text);
  EXPECT_EQ(read_file(path / "metrics.jsonl"),
            "{\"step\":1,\"loss\":0.30000000000000004}\n{\"step\":2,\"loss\":null}\n");
  EXPECT_NE(complaint([&] { log(run, 1, 0); }).find("step 1 comes after step 2"),
            std::string::npos);
}

TEST(RunFolder, GoesOnFromTheLastCheckpoint) {
  const TempFolder folder;
  const fs::path path = folder / "run";
  {
    RunFolder run(path, kConfig, false);
    log(run, 1, 3);
    checkpoint(run, 2, 0.5);
    log(run, 2, 2);  // after the checkpoint, so a resumed run does it again
    log(run, 3, 1);
  }
  RunFolder run(path, kConfig, true);
  EXPECT_EQ(run.step(), 2);
  EXPECT_EQ(run.state()["rng"], 2);
  EXPECT_EQ(read_file(*run.last_checkpoint() / "model.txt"), "2");
  EXPECT_EQ(read_file(path / "metrics.jsonl"),
            "{\"step\":1,\"loss\":3.0}\n{\"step\":2,\"top1\":0.5}\n");
}

TEST(RunFolder, StartsAgainWithoutACheckpoint) {
  const TempFolder folder;
  {
    RunFolder run(folder / "run", kConfig, false);
    log(run, 0, 3);
  }
  RunFolder run(folder / "run", kConfig, true);
  EXPECT_EQ(run.step(), 0);
  EXPECT_TRUE(run.state().is_null());
  EXPECT_EQ(read_file(folder / "run/metrics.jsonl"), "");
}

TEST(RunFolder, KeepsTheLastAndTheBest) {
  const TempFolder folder;
  const fs::path checkpoints = folder / "run/checkpoints";
  {
    RunFolder run(folder / "run", kConfig, false);
    checkpoint(run, 1, 0.4);
    checkpoint(run, 2, 0.9);
    checkpoint(run, 3, 0.5);
  }
  RunFolder run(folder / "run", kConfig, true);  // still knows the best
  checkpoint(run, 4, 0.7);
  checkpoint(run, 5, 0.9);  // no better
  EXPECT_EQ(read_file(checkpoints / "best"), "step-00000002\n");
  EXPECT_EQ(read_file(checkpoints / "last"), "step-00000005\n");
  EXPECT_TRUE(fs::exists(checkpoints / "step-00000002/model.txt"));
  EXPECT_TRUE(fs::exists(checkpoints / "step-00000004"));
  EXPECT_FALSE(fs::exists(checkpoints / "step-00000001"));
  EXPECT_FALSE(fs::exists(checkpoints / "step-00000003"));
}

TEST(RunFolder, MarksTheBestThatAKillLeftUnmarked) {
  const TempFolder folder;
  {
    RunFolder run(folder / "run", kConfig, false);
    checkpoint(run, 1, 0.4);
    checkpoint(run, 2, 0.9);
  }
  write_file(folder / "run/checkpoints/best", "step-00000001\n");
  const RunFolder run(folder / "run", kConfig, true);
  EXPECT_EQ(read_file(folder / "run/checkpoints/best"), "step-00000002\n");
}

TEST(RunFolder, ASecondCheckpointOfAStepAddsWhatWasMeasuredSince) {
  const TempFolder folder;
  {
    RunFolder run(folder / "run", kConfig, false);
    checkpoint(run, 1, 0.4);
    run.checkpoint(2, {{"rng", 2}}, [](const fs::path&) {});
    run.log(2, std::vector<Metric>{{"top1", 0.9}});
    run.checkpoint(2, {{"rng", 99}}, [](const fs::path&) { FAIL(); });
  }
  const RunFolder run(folder / "run", kConfig, true);
  EXPECT_EQ(run.state()["rng"], 99);
  EXPECT_EQ(run.best_checkpoint(), folder / "run/checkpoints/step-00000002");
  EXPECT_EQ(read_metrics(folder / "run/metrics.jsonl").back().step, 2);
}

TEST(RunFolder, WhatWasMeasuredOfAnotherStepDoesNotMakeTheBest) {
  const TempFolder folder;
  const auto unmeasured = [](RunFolder& run, int64_t step) {
    log(run, step, 0.1);
    run.checkpoint(step, {}, [](const fs::path&) {});
  };
  {
    RunFolder run(folder / "run", kConfig, false);
    run.log(1, std::vector<Metric>{{"top1", 0.9}});  // without a checkpoint
    unmeasured(run, 2);
    EXPECT_FALSE(run.best_checkpoint());
    checkpoint(run, 3, 0.4);
    run.log(4, std::vector<Metric>{{"top1", 0.8}});
    unmeasured(run, 5);
  }
  RunFolder run(folder / "run", kConfig, true);
  unmeasured(run, 6);
  EXPECT_EQ(run.best_checkpoint(), folder / "run/checkpoints/step-00000003");
  checkpoint(run, 7, 0.5);
  EXPECT_EQ(run.best_checkpoint(), folder / "run/checkpoints/step-00000007");
}

TEST(RunFolder, AFailedCheckpointLeavesTheOldOne) {
  const TempFolder folder;
  RunFolder run(folder / "run", kConfig, false);
  checkpoint(run, 1, 0.4);
  EXPECT_EQ(complaint([&] {
              run.checkpoint(2, {}, [](const fs::path& to) {
                write_file(to / "half", "x");
                fail(ErrorCode::io, "disk full");
              });
            }),
            "disk full");
  EXPECT_EQ(run.last_checkpoint(), folder / "run/checkpoints/step-00000001");
  EXPECT_EQ(run.step(), 1);
  int entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder / "run/checkpoints")) {
    ++entries;
  }
  EXPECT_EQ(entries, 3);  // the checkpoint, last, best
}

TEST(RunFolder, RefusesFoldersThatAreNotItsOwn) {
  const TempFolder folder;
  const std::string path = (folder / "run").string();
  write_file(folder / "file", "");
  EXPECT_NE(complaint([&] { RunFolder(folder.path(), kConfig, false); }).find("is not empty"),
            std::string::npos);
  EXPECT_EQ(complaint([&] { RunFolder(path, kConfig, true); }),
            path + ": there is no run to resume (config.toml is missing)");
  std::filesystem::create_directory(path);
  write_file(folder / "run/.lock", "");  // what one that was killed before it began leaves
  {
    RunFolder run(path, kConfig, false);
    EXPECT_EQ(complaint([&] { RunFolder(path, kConfig, true); }),
              path + ": another process is training in it");
  }
  EXPECT_NE(
      complaint([&] { RunFolder(path, {.text = "seed = 2\n"}, true); }).find("another config"),
      std::string::npos);
  write_file(folder / "run/checkpoints/last", "../../../etc\n");
  EXPECT_EQ(complaint([&] { RunFolder(path, kConfig, true); }),
            path + "/checkpoints/last: names '../../../etc', which is no checkpoint");
}

TEST(RunFolder, KilledBeforeItsFirstMetricIsResumed) {
  const TempFolder folder;
  fs::create_directory(folder / "run");
  write_file(folder / "run/config.toml", kConfig.text);
  EXPECT_EQ(RunFolder(folder / "run", kConfig, true).step(), 0);
}

TEST(RunFolder, IsSummarised) {
  const TempFolder folder;
  {
    RunFolder run(folder / "a", kConfig, false);
    checkpoint(run, 1, 0.4);
    checkpoint(run, 2, 0.9);
    checkpoint(run, 3, 0.5);
    log(run, 3, 1.5);
    EXPECT_EQ(summarise_run(folder / "a").status, "running");
    RunFolder failed(folder / "b", kConfig, false);
    failed.end("failed", "NaN at step 3");
  }
  fs::create_directory(folder / "none");
  EXPECT_EQ(find_runs(folder.path()), (std::vector<fs::path>{folder / "a", folder / "b"}));
  EXPECT_EQ(find_runs(folder / "a"), (std::vector<fs::path>{folder / "a"}));
  EXPECT_THROW(find_runs(folder / "nowhere"), Error);
  const RunSummary run = summarise_run(folder / "a");
  EXPECT_EQ(run.status, "interrupted");
  EXPECT_EQ(run.step, 3);
  EXPECT_EQ(run.total_steps, 100);
  EXPECT_EQ(run.last, (std::vector<Metric>{{"top1", 0.5}, {"loss", 1.5}}));
  EXPECT_EQ(run.best, 0.9);
  EXPECT_EQ(run.best_step, 2);
  EXPECT_EQ(summarise_run(folder / "b").message, "NaN at step 3");
}

TEST(RunFolder, DamagedFilesAreNamed) {
  const TempFolder folder;
  { RunFolder run(folder / "run", kConfig, false); }
  const fs::path metrics = folder / "run/metrics.jsonl", status = folder / "run/status.json";
  write_file(metrics, "{\"step\": 1}\n[2]\n{\"ste");
  EXPECT_EQ(complaint([&] { read_metrics(metrics); }),
            metrics.string() + ": line 2 is no JSON object with a step");
  write_file(metrics, "{\"step\": 1, \"loss\": 2, \"note\": \"x\"}\n{\"ste");  // half a line
  EXPECT_EQ(read_metrics(metrics).size(), 1u);
  write_file(status, "{\"status\": 3}");
  EXPECT_EQ(complaint([&] { summarise_run(folder / "run"); }),
            status.string() + ": 'status' is of the wrong kind");
  write_file(status, "[");
  EXPECT_EQ(complaint([&] { summarise_run(folder / "run"); }),
            status.string() + ": is no JSON object");
}

TEST(RunFolder, ReportsWithCurvesAndSamples) {
  const TempFolder folder;
  RunFolder run(folder / "run", kConfig, false);
  for (int step = 1; step < 9; ++step) log(run, step, 1.0 / step);
  const Canvas canvas(8, 8, {200, 10, 10});
  const ReportSample samples[] = {{canvas.image(), "a <red> square"}};
  run.write_report(samples);
  const std::string page = read_file(folder / "run/report.html");
  EXPECT_NE(page.find("<polyline"), std::string::npos);
  EXPECT_NE(page.find("a &lt;red&gt; square"), std::string::npos);
  EXPECT_NE(page.find("data:image/jpeg;base64,"), std::string::npos);
  EXPECT_NE(page.find("seed = 1"), std::string::npos);
}

// RFC 3720, B.4.
TEST(TensorBoard, Checksum) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
}

TEST(TensorBoard, FileHoldsTheScalars) {
  const TempFolder folder;
  {
    TensorBoardFile file(folder.path(), 5);
    const Metric values[] = {{"loss", 0.5}, {"lr", 1e-3}};
    file.append(300, values);
  }
  const fs::path path = fs::directory_iterator(folder.path())->path();
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
  const std::string bytes = read_file(path);
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    ASSERT_LE(at + 16 + length, bytes.size());
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(tfrecord(records.back()), bytes.substr(at, 16 + length));
    at += 16 + length;
  }
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].substr(9), std::string("\x10\0\x1a\x0d", 4) + "brain.Event:2");
  EXPECT_EQ(records[1].substr(9), "\x10\x05\x3a\x02\x08\x01");
  EXPECT_EQ(records[2].substr(9),
            std::string("\x10\xac\x02\x2a\x18\x0a\x0b\x0a\x04loss\x15\0\0\0\x3f", 18) +
                std::string("\x0a\x09\x0a\x02lr\x15\x6f\x12\x83\x3a", 11));
}

}  // namespace
}  // namespace ocelli
