package rules

import "strings"

// MaxCode is the greatest length of an organisation code.
const MaxCode = 12

// ValidCode tells whether a text could be an organisation code: 1 to 12 ASCII letters and digits. Shapes of known kinds are
// only warned about, never enforced: successors bring new ones.
func ValidCode(code string) bool {
	if code == "" || len(code) > MaxCode {
		return false
	}
	for i := range len(code) {
		c := code[i]
		if !isDigit(c) && !isUpper(c) && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// CodeRole is what a code stands for in a row.
type CodeRole string

// The roles of a code.
const (
	// PracticeCode stands for a GP practice.
	PracticeCode CodeRole = "practice"
	// PCNCode stands for a primary care network.
	PCNCode CodeRole = "PCN"
	// LocationCode stands for a CCG or sub-ICB location.
	LocationCode CodeRole = "commissioner"
	// SystemCode stands for an STP or ICB.
	SystemCode CodeRole = "system"
	// RegionCode stands for an NHS England region.
	RegionCode CodeRole = "region"
	// AnyCode stands for any organisation.
	AnyCode CodeRole = "organisation"
)

// UsualShape tells whether a code has a shape seen in the publications for its role: a practice is a letter and five digits, a
// PCN is U and five digits, a commissioner three or five characters, a system Q and two characters or five, a region Y and
// two digits.
func UsualShape(role CodeRole, code string) bool {
	switch role {
	case PracticeCode:
		return len(code) == 6 && isUpper(code[0]) && allDigits(code[1:])
	case PCNCode:
		return len(code) == 6 && code[0] == 'U' && allDigits(code[1:])
	case LocationCode:
		return len(code) == 3 || len(code) == 5
	case SystemCode:
		return (len(code) == 3 && code[0] == 'Q') || len(code) == 5
	case RegionCode:
		return len(code) == 3 && code[0] == 'Y' && allDigits(code[1:])
	case AnyCode:
		return true
	default:
		return true
	}
}

// NoPCN tells whether a publication's PCN code says that a practice is in no PCN.
func NoPCN(code string) bool {
	return strings.EqualFold(code, "u") || strings.EqualFold(code, "no_data")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

func allDigits(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}
