#include "ocelli/train/recipe.h"

#include <gtest/gtest.h>

#include "ocelli/base/file.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

TEST(TrainRecipe, EachOfOursReads) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(OCELLI_SOURCE_DIR "/recipes")) {
    if (entry.path().extension() != ".toml") continue;
    const TrainRecipe recipe = read_train_recipe(entry.path());
    EXPECT_GT(schedule_of(recipe, 10)(recipe.epochs * 5), 0) << entry.path();
    method_of(recipe);
    groups_of(recipe);
    ++count;
  }
  EXPECT_GE(count, 1);
}

TEST(TrainRecipe, BecomesAnOptimiserAndItsSchedule) {
  const TempFolder folder;
  write_file(folder / "r.toml",
             "epochs = 4\n[optimizer]\nname = 'lars'\nlr = 0.5\nmomentum = 0.8\n"
             "[groups]\nlr_scale = ['patch_embed*=0.2']\n");
  const std::string overrides[] = {"optimizer.nesterov=true", "schedule.warmup_epochs=1.5",
                                   "schedule.last=0.1"};
  const TrainRecipe recipe = read_train_recipe(folder / "r.toml", overrides);
  const Method method = method_of(recipe);
  const Lars& lars = std::get<Lars>(method);
  EXPECT_EQ(lars.sgd.momentum, 0.8);
  EXPECT_TRUE(lars.sgd.nesterov);
  const Schedule schedule = schedule_of(recipe, 10);
  EXPECT_EQ(schedule.total, 40);
  EXPECT_EQ(schedule.warmup, 15);
  EXPECT_EQ(schedule(15), 0.5);
  EXPECT_EQ(schedule(40), 0.1);
  EXPECT_EQ(groups_of(recipe).lr_scale[0], (std::pair<std::string, double>{"patch_embed*", 0.2}));
  const std::string bad[] = {"groups.lr_scale=['patch_embed']"};
  EXPECT_THROW(groups_of(read_train_recipe(folder / "r.toml", bad)), Error);
}

TEST(TrainRecipe, WritesEveryKeyAndReadsThem) {
  const TempFolder folder;
  TrainRecipe recipe;
  recipe.optimizer.lr = 0.123;
  recipe.groups.freeze = {"blocks.[0-3].*"};
  const std::string text = train_recipe_text(recipe);
  write_file(folder / "config.toml", text);
  EXPECT_EQ(train_recipe_text(read_train_recipe(folder / "config.toml")), text);
  for (const Setting& setting : recipe_settings(recipe)) {
    const std::string name = setting.key.substr(setting.key.rfind('.') + 1);
    EXPECT_NE(("\n" + text).find("\n" + name + " = "), std::string::npos) << setting.key;
  }
}

TEST(TrainRecipe, TheDocumentShowsTheDefaults) {
  const std::string page = read_file(OCELLI_SOURCE_DIR "/docs/training.md");
  EXPECT_NE(page.find("```toml\n" + train_recipe_text({}) + "```\n"), page.npos)
      << train_recipe_text({});
}

}  // namespace
}  // namespace ocelli
