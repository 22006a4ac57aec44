package statement

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// missing stands for a letter that the fonts do not have, so that it is seen to be missing.
const missing = '□'

// fonts are parsed once, to ask which letters they have.
var fonts = sync.OnceValue(func() []*sfnt.Font {
	var out []*sfnt.Font
	for _, data := range [][]byte{liberationsansregular.TTF, liberationsansbold.TTF} {
		font, err := sfnt.Parse(data)
		if err != nil {
			panic(err)
		}
		out = append(out, font)
	}
	return out
})

// letters makes of a text what the fonts can draw: composed letters on one line, without control and direction marks.
func letters(text string) string {
	var buffer sfnt.Buffer
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		case r >= ' ' && r <= '~':
			return r
		case r > '\uffff':
			return missing
		}
		for _, font := range fonts() {
			if glyph, err := font.GlyphIndex(&buffer, r); err != nil || glyph == 0 {
				return missing
			}
		}
		return r
	}, norm.NFC.String(text))
}

// amount writes pounds with a true minus sign.
func amount(p money.Pence) string { return strings.Replace(p.String(), "-", "−", 1) }

// monthName writes April 2022, or an empty string for no month.
func monthName(m period.Month) string { return monthAs(m, "January 2006") }

// shortMonth writes Apr 2022, or an empty string for no month.
func shortMonth(m period.Month) string { return monthAs(m, "Jan 2006") }

func monthAs(m period.Month, layout string) string {
	if m.IsZero() {
		return ""
	}
	return m.First().Time().Format(layout)
}

// day writes 5 May 2022, or an empty string for no day.
func day(d period.Date) string {
	if d.IsZero() {
		return ""
	}
	return d.Time().Format("2 January 2006")
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// join joins the texts that are not empty.
func join(separator string, texts ...string) string {
	var kept []string
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, separator)
}

// label is what is said of a confidence: nothing of an official or an unstated one.
func label(confidence string) string {
	if confidence == "" || confidence == "official" {
		return ""
	}
	return confidence + " figure"
}

// sentence writes a factor, as in £1.50 per registered patient × 53,674 registered patients.
func (f *Factor) sentence() string {
	rate := grouped(f.RateGBP)
	if value, err := money.ParseDecimal(f.RateGBP); err == nil {
		if places, _ := value.FloatPrec(); places < 2 {
			rate = grouped(value.FloatString(2))
		}
	}
	if rate != "" {
		rate = strings.Replace("£"+rate, "£-", "−£", 1)
	}
	if f.Per != "" {
		rate = join(" per ", rate, f.Per)
	}
	return join(" × ", rate, join(" ", strings.Replace(grouped(f.Quantity), "-", "−", 1), f.Unit))
}

// grouped separates the thousands of a decimal; another text it leaves alone.
func grouped(decimal string) string {
	if _, err := money.ParseDecimal(decimal); err != nil {
		return decimal
	}
	digits, negative := strings.CutPrefix(decimal, "-")
	whole, part, pointed := strings.Cut(digits, ".")
	var out strings.Builder
	if negative {
		out.WriteByte('-')
	}
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteByte(whole[i])
	}
	if pointed {
		out.WriteString("." + part)
	}
	return out.String()
}

// percent is the share of a whole in hundredths, rounded half up; a share of nothing is 0.
func percent(part, whole money.Pence) string {
	if whole == 0 {
		return "–"
	}
	share := new(big.Rat).Quo(part.GBP(), whole.GBP())
	share.Mul(share, big.NewRat(100, 1))
	return strings.Replace(money.Format(money.Round(share, money.HalfUp, 0)), "-", "−", 1) + "%"
}

// filled is how much of a bar of a length is filled, rounded down and held between nothing and all.
func filled(part, whole money.Pence, length unit) unit {
	if whole == 0 || (part < 0) != (whole < 0) {
		return 0
	}
	share := new(big.Int).Mul(big.NewInt(int64(part)), big.NewInt(int64(length)))
	share.Quo(share, big.NewInt(int64(whole)))
	if share.Cmp(big.NewInt(int64(length))) > 0 {
		return length
	}
	return unit(share.Int64())
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// spread says how the product of the factors becomes a month's amount.
func (l *Line) spread() string {
	var parts string
	if l.Instalments > 1 {
		parts = fmt.Sprintf("÷ %d instalments", l.Instalments)
	}
	return join(" · ", parts, l.Convention)
}
