// A value, or the Error that says why there is none. Never throws; asking a failed Result for its
// value is a bug of the caller and aborts.
#pragma once

#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>

#include "ripstop/error.h"

namespace ripstop {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design.
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design.

  explicit operator bool() const noexcept { return state_.index() == 0; }
  bool has_value() const noexcept { return state_.index() == 0; }

  T& operator*() & noexcept { return *checked(); }
  const T& operator*() const& noexcept { return *const_cast<Result*>(this)->checked(); }
  T&& operator*() && noexcept { return std::move(*checked()); }
  T* operator->() noexcept { return checked(); }
  const T* operator->() const noexcept { return const_cast<Result*>(this)->checked(); }

  const Error& error() const& noexcept {
    const Error* error = std::get_if<1>(&state_);
    if (error == nullptr) std::abort();  // The caller did not ask first.
    return *error;
  }

 private:
  T* checked() noexcept {
    T* value = std::get_if<0>(&state_);
    if (value == nullptr) std::abort();  // The caller did not ask first.
    return value;
  }

  std::variant<T, Error> state_;
};

// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design.

  explicit operator bool() const noexcept { return !error_.has_value(); }
  bool has_value() const noexcept { return !error_.has_value(); }
  const Error& error() const& noexcept {
    if (!error_) std::abort();  // The caller did not ask first.
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace ripstop
