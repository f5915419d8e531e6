#pragma once

#include <string>
#include <string_view>

namespace makina {

/// Reads elements of strict DER (ITU-T X.690, 10): tags of one byte, definite lengths in their shortest form. Whatever
/// else it meets is Untrusted "the seal is not strict DER: <part>".
class Der {
  public:
    static constexpr unsigned char integer = 0x02, bits = 0x03, octets = 0x04, object = 0x06, sequence = 0x30,
                                   set = 0x31, context_0 = 0xa0, context_1 = 0xa1;

    /// `part` names in messages what is read: "signer".
    Der(std::string_view bytes, std::string part) : rest_(bytes), part_(std::move(part)) {}

    [[nodiscard]] bool empty() const { return rest_.empty(); }
    /// True if the next element has this tag.
    [[nodiscard]] bool follows(unsigned char tag) const;
    /// The next element, which has this tag: its header and its content.
    [[nodiscard]] std::string_view element(unsigned char tag);
    /// The content of the next element, which has this tag.
    [[nodiscard]] std::string_view content(unsigned char tag);
    /// Nothing is left.
    void end() const;
    [[noreturn]] void refuse() const;

  private:
    /// Of the element at the front: where its content begins and how long that is.
    struct Extent {
        std::size_t header = 0;
        std::size_t length = 0;
    };
    [[nodiscard]] Extent extent(unsigned char tag) const;

    std::string_view rest_;
    std::string part_;
};

}  // namespace makina
