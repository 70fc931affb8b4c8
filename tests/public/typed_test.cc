// Method: Cap'n Proto messages built and read in place, through a real ripstopd. A typed publisher keeps
// one chunk ready, so what is free is looked at after it has ended.
#include "plan.capnp.h"
#include "real_fabric.h"
#include "ripstop/capnp.h"

namespace ripstop::test {
namespace {

class Typed : public OnRealFabric {
 protected:
  void TearDown() override {
    if (fabric() == nullptr) return;
    EXPECT_TRUE(all_chunks_free()) << chunks_in_use() << " chunks in use";
  }
};

std::string note_of(uint64_t number) { return "step " + std::to_string(number * 7919); }

void fill(Plan::Builder plan, uint32_t count) {
  plan.setTitle("mend the net");
  auto steps = plan.initSteps(count);
  for (uint32_t i = 0; i < count; ++i) {
    steps[i].setNumber(uint64_t{i} << 20 | 5);
    steps[i].setNote(note_of(i));
  }
}

// The first step that is wrong, or `count`; ~0 when the rest is.
uint32_t first_wrong(Plan::Reader plan, uint32_t count) {
  const auto steps = plan.getSteps();  // Once: each asking counts against Cap'n Proto's traversal limit.
  if (plan.getTitle() != "mend the net" || steps.size() != count) return ~0u;
  for (uint32_t i = 0; i < count; ++i) {
    const auto step = steps[i];
    if (step.getNumber() != (uint64_t{i} << 20 | 5) || step.getNote() != note_of(i).c_str()) return i;
  }
  return count;
}

constexpr uint32_t kMany = 100'000;

TEST(TypedText, ComparesWithLiteralsInEitherOrder) {
  // Under clang the operators are ripstop/kj_equality.h's; once they called themselves for ever.
  const kj::StringPtr text = "mend";
  const kj::String owned = kj::heapString("mend");
  const capnp::Text::Reader reader = "mend";
  EXPECT_TRUE(text == "mend" && "mend" == text && !(text != "mend") && !("mend" != text));
  EXPECT_TRUE(owned == "mend" && "mend" == owned && !(owned != "mend") && !("mend" != owned));
  EXPECT_TRUE(reader == "mend" && "mend" == reader && !(reader != "mend") && !("mend" != reader));
  EXPECT_TRUE(text != "tear" && "tear" != text && !(text == "tear") && !("tear" == text));
}

TEST_F(Typed, MessagesCrossBetweenTwoProcessesAndReadEqual) {
  const std::vector<uint32_t> counts = {0, 1, 3, 50, 1000};
  Child child([&](const Link& link) {
    Agent agent = attach("sender");
    auto publisher = must(agent.publisher<Plan>("typed.plan", {.priority = Priority::High}));
    if (!link.hear()) return 2;
    for (const uint32_t count : counts) {
      auto plan = publisher.loan();
      if (!plan) return 3;
      fill(plan->root(), count);
      if (!plan->send()) return 4;
    }
    return link.hear() ? 0 : 5;
  });
  Agent agent = attach("receiver");
  auto subscriber = must(agent.subscriber<Plan>("typed.plan"));
  child.link().tell(1);
  for (const uint32_t count : counts) {
    auto plan = subscriber.take(10s);
    ASSERT_TRUE(plan) << count << ": " << to_string(plan.outcome());
    EXPECT_EQ(first_wrong(plan->root(), count), count);
    EXPECT_FALSE(plan->malformed());
    EXPECT_EQ(plan->info().content_type, ContentType::Capnp);
    EXPECT_EQ(plan->info().priority, Priority::High);
  }
  child.link().tell(1);
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(Typed, AHundredThousandStructsOverManyChunksReadEqualInEveryReceiver) {
  Child child([](const Link& link) {
    Agent agent = attach("reader");
    auto subscriber = must(agent.subscriber<Plan>("typed.large"));
    link.tell(1);
    auto plan = subscriber.take(20s);
    if (!plan) return 2;
    const uint32_t wrong = first_wrong(plan->root(), kMany);
    return wrong == kMany && !plan->malformed() ? 0 : 3;
  });
  Agent agent = attach("writer");
  Agent other = attach("other");
  auto bytes = must(other.subscriber("typed.large"));
  std::optional publisher(must(agent.publisher<Plan>("typed.large")));
  ASSERT_TRUE(child.link().hear());
  {
    auto plan = must(publisher->loan());
    fill(plan.root(), kMany);
    const Sent sent = plan.send();
    EXPECT_EQ(sent.outcome, SendOutcome::Delivered)
        << (plan.failure() ? to_string(*plan.failure()) : std::string(to_string(sent.outcome)));
    EXPECT_EQ(sent.receiver_count, 2u);
  }
  EXPECT_EQ(child.wait(), 0);
  auto message = bytes.take();
  ASSERT_TRUE(message);
  EXPECT_GT(message->segments().size(), 2u);
  EXPECT_FALSE(message->corrupt());
  EXPECT_EQ(message->segments().front().data(), message->bytes().data());
  publisher.reset();
  EXPECT_GE(chunks_in_use(), message->segments().size());
  message->release();
  EXPECT_TRUE(all_chunks_free()) << chunks_in_use();
}

TEST_F(Typed, ALargeMessageThatIsDroppedGivesAllItsChunksBack) {
  Agent agent = attach("writer");
  auto subscriber = must(agent.subscriber<Plan>("typed.dropped"));
  {
    auto publisher = must(agent.publisher<Plan>("typed.dropped"));
    {
      auto plan = must(publisher.loan());
      fill(plan.root(), 10'000);
      EXPECT_GE(chunks_in_use(), 2u);
    }
    EXPECT_LE(chunks_in_use(), 1u);  // The one that is ready for the next message.
    EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
    auto plan = must(publisher.loan());
    EXPECT_EQ(plan.root().getSteps().size(), 0u);  // Nothing of the dropped one is left in it.
    EXPECT_FALSE(plan.root().hasTitle());
    plan.root().setTitle("mend the net");
    EXPECT_EQ(plan.send().sequence, 1u);
  }
  auto plan = subscriber.take();
  ASSERT_TRUE(plan);
  EXPECT_EQ(first_wrong(plan->root(), 0), 0u);
}

TEST_F(Typed, APoolThatRunsDryWhileAMessageIsBuiltSendsNothingAndGoesOnAfterwards) {
  Agent agent = attach("writer");
  auto subscriber = must(agent.subscriber<Plan>("typed.dry"));
  auto bytes = must(agent.publisher("typed.bytes"));
  {
    auto publisher = must(agent.publisher<Plan>("typed.dry"));
    std::vector<Loan<Bytes>> loans;
    for (;;) {
      auto loan = bytes.loan(2u << 20);
      if (!loan) break;
      loans.push_back(std::move(*loan));
    }
    EXPECT_GE(loans.size(), 8u);
    {
      auto plan = must(publisher.loan());
      fill(plan.root(), kMany);  // Cap'n Proto knows no failure here.
      EXPECT_EQ(plan.send().outcome, SendOutcome::PoolEmpty);
      ASSERT_TRUE(plan.failure());
      EXPECT_EQ(plan.failure()->code, Errc::PoolEmpty);
      EXPECT_FALSE(plan.failure()->fix.empty());
    }
    EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
    loans.clear();
    auto plan = must(publisher.loan());
    fill(plan.root(), kMany);
    EXPECT_TRUE(plan.send());
    EXPECT_FALSE(plan.failure());
  }
  auto plan = subscriber.take();
  ASSERT_TRUE(plan);
  EXPECT_EQ(first_wrong(plan->root(), kMany), kMany);
}

TEST_F(Typed, AListAboveTheLargestClassIsRefusedWithItsName) {
  Agent agent = attach("writer");
  auto publisher = must(agent.publisher<Plan>("typed.too.large"));
  auto subscriber = must(agent.subscriber<Plan>("typed.too.large"));
  auto plan = must(publisher.loan());
  plan.root().initSteps(200'000);  // 3.2 MB in one piece.
  EXPECT_NE(plan.send().outcome, SendOutcome::Delivered);
  ASSERT_TRUE(plan.failure());
  EXPECT_EQ(plan.failure()->code, Errc::TooLarge);
  EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
}

TEST_F(Typed, SeveralLoansAreBuiltSideBySideAndSentInAnyOrder) {
  Agent agent = attach("writer");
  auto publisher = must(agent.publisher<Plan>("typed.side"));
  auto subscriber = must(agent.subscriber<Plan>("typed.side"));
  std::vector<Loan<Plan>> plans;
  for (uint32_t i = 0; i < 10; ++i) plans.push_back(must(publisher.loan()));
  for (uint32_t i = 0; i < 10; ++i) fill(plans[i].root(), i * 10);
  for (uint32_t i = 10; i-- > 0;) EXPECT_TRUE(plans[i].send());
  EXPECT_EQ(plans[0].send().outcome, SendOutcome::Detached);
  for (uint32_t i = 10; i-- > 0;) {
    auto plan = subscriber.take();
    ASSERT_TRUE(plan);
    EXPECT_EQ(first_wrong(plan->root(), i * 10), i * 10);
  }
}

TEST_F(Typed, BytesThatAreNoMessageAreMalformedAndNeverFault) {
  Agent agent = attach("writer");
  auto bytes = must(agent.publisher("typed.garbage"));
  auto subscriber = must(agent.subscriber<Plan>("typed.garbage"));
  for (const std::size_t size : {0u, 1u, 7u, 8u, 100u, 256u}) {
    auto loan = must(bytes.loan(size));
    std::memset(loan.bytes().data(), 0xa5, size);
    ASSERT_TRUE(loan.send());
    auto plan = subscriber.take();
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->root().getTitle().size(), 0u);
    EXPECT_EQ(plan->root().getSteps().size(), 0u);
    EXPECT_TRUE(plan->malformed() || size == 0) << size;
  }
}

}  // namespace
}  // namespace ripstop::test
