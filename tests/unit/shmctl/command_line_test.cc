#include "shmctl/command_line.h"

#include <gtest/gtest.h>

#include <set>

#include "shmctl/verb_table.h"

namespace ripstop::shmctl {
namespace {

Result<Command> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "shmctl");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Errc refused(std::vector<const char*> words) {
  const auto command = parse(std::move(words));
  return command ? Errc{} : command.error().code;
}

TEST(CommandLine, WithoutAVerbIsStatus) {
  const auto command = parse({});
  ASSERT_TRUE(command);
  EXPECT_EQ(command->verb->name, "status");
}

TEST(CommandLine, GlobalFlagsStandBeforeOrBehindTheVerb) {
  EXPECT_EQ(parse({"--fabric", "x", "agents"})->settings.fabric, "x");
  EXPECT_EQ(parse({"agents", "--fabric=x"})->settings.fabric, "x");
  EXPECT_EQ(parse({"agents", "-f", "x", "-o", "csv"})->settings.format, Format::Csv);
}

TEST(CommandLine, HelpAndVersionStandAnywhere) {
  EXPECT_EQ(parse({"--help"})->verb->name, "help");
  const auto help = parse({"pub", "-h"});
  ASSERT_TRUE(help);
  EXPECT_EQ(help->verb->name, "help");
  EXPECT_EQ(help->arguments, std::vector<std::string>{"pub"});
  EXPECT_EQ(parse({"--version"})->verb->name, "version");
}

TEST(CommandLine, ATopicMayBeNamedLikeAVerb) {
  const auto command = parse({"pub", "status", "-"});
  ASSERT_TRUE(command);
  EXPECT_EQ(command->verb->name, "pub");
  EXPECT_EQ(command->arguments, (std::vector<std::string>{"status", "-"}));
}

TEST(CommandLine, BehindTwoDashesEverythingIsAnArgument) {
  const auto command = parse({"pub", "t", "--", "--count"});
  ASSERT_TRUE(command) << to_string(command.error());
  EXPECT_EQ(command->arguments, (std::vector<std::string>{"t", "--count"}));
}

TEST(CommandLine, RefusesWhatItDoesNotKnowAndNamesTheNearest) {
  EXPECT_EQ(refused({"agnts"}), Errc::UnknownVerb);
  EXPECT_NE(parse({"agnts"}).error().fix.find("agents"), std::string::npos);
  EXPECT_EQ(refused({"agents", "--fitler", "x"}), Errc::Usage);
  EXPECT_NE(parse({"agents", "--fitler", "x"}).error().fix.find("--filter"), std::string::npos);
  EXPECT_EQ(refused({"agents", "extra"}), Errc::Usage);
  EXPECT_EQ(refused({"pub"}), Errc::Usage);
  EXPECT_EQ(refused({"show", "agnet", "x"}), Errc::Usage);
  EXPECT_EQ(refused({"agents", "-o", "xml"}), Errc::Usage);
  EXPECT_EQ(refused({"agents", "--sort"}), Errc::Usage);
  EXPECT_EQ(refused({"agents", "--watch", "soon"}), Errc::Usage);
  EXPECT_EQ(refused({"--sort", "x", "version"}), Errc::Usage);
}

TEST(VerbTable, EveryVerbIsWholeAndNamedOnce) {
  std::set<std::string_view> names;
  for (const Verb* verb : verb_table()) {
    EXPECT_TRUE(names.insert(verb->name).second) << verb->name;
    EXPECT_NE(verb->run, nullptr) << verb->name;
    EXPECT_FALSE(verb->summary.empty()) << verb->name;
    EXPECT_LE(verb->summary.size(), 90u) << verb->name;
    EXPECT_TRUE(!verb->lists || !verb->fields.empty()) << verb->name;
    std::set<std::string> flags;
    for (const Flag& flag : flags_of(*verb))
      EXPECT_TRUE(flags.insert(bare_name(flag)).second) << verb->name << flag.name;
    std::set<std::string_view> shorts;
    for (const Flag& flag : flags_of(*verb)) {
      if (flag.name[1] == '-') continue;
      EXPECT_TRUE(shorts.insert(flag.name.substr(0, 2)).second) << verb->name << flag.name;
    }
    std::set<std::string> keys;
    for (const Field& field : verb->fields)
      EXPECT_TRUE(keys.insert(field.key).second) << verb->name << " " << field.key;
  }
}

}  // namespace
}  // namespace ripstop::shmctl
