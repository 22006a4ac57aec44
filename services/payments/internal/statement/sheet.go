package statement

import (
	"bytes"
	"fmt"
	"strings"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-fonts/liberation/liberationsansbold"
	"github.com/go-fonts/liberation/liberationsansregular"
)

// unit is a hundredth of a point, so that every measure is whole.
type unit int

// The page is A4, upright.
const (
	pageWidth, pageHeight unit = 59528, 84189
	left, right           unit = 4800, pageWidth - 4800
	top, bottom           unit = 7000, pageHeight - 6000
	firstTop              unit = 4600
	family                     = "statement"
)

// ink is a colour by red, green and blue of 255.
type ink [3]int

// The colours.
var (
	black = ink{0x1c, 0x1f, 0x24}
	grey  = ink{0x5f, 0x66, 0x70}
	navy  = ink{0x14, 0x36, 0x5c}
	amber = ink{0x96, 0x4b, 0x00}
	hair  = ink{0xd3, 0xd8, 0xde}
	tint  = ink{0xf1, 0xf4, 0xf8}
	track = ink{0xdd, 0xe3, 0xea}
)

// face is a style of type.
type face struct {
	bold bool
	size unit
	ink  ink
}

// The faces.
var (
	titleFace   = face{true, 2000, navy}
	sectionFace = face{true, 1150, navy}
	plain       = face{false, 880, black}
	strong      = face{true, 880, black}
	quiet       = face{false, 880, grey}
	small       = face{false, 720, grey}
	columnFace  = face{true, 720, grey}
	caution     = face{true, 720, amber}
)

// leading is the distance from one base line to the next.
func (f face) leading() unit { return f.size * 13 / 10 }

// sheet draws on pages from top to bottom. The number of pages is known on the second pass only, and 0 on the first.
type sheet struct {
	pdf    *fpdf.Fpdf
	header [2]string
	footer string
	pages  int
	page   int
	y      unit
}

func newSheet(pages int, compressed bool) *sheet {
	s := &sheet{pdf: fpdf.New("P", "pt", "A4", ""), pages: pages}
	s.pdf.SetCompression(compressed)
	s.pdf.SetCatalogSort(true)
	s.pdf.SetAutoPageBreak(false, 0)
	s.pdf.AddUTF8FontFromBytes(family, "", liberationsansregular.TTF)
	s.pdf.AddUTF8FontFromBytes(family, "B", liberationsansbold.TTF)
	return s
}

// pt converts to the drawing library's points.
func pt(u unit) float64 { return float64(u) / 100 } //nolint:forbidigo // a coordinate on paper, and no figure

// bytes returns the document.
func (s *sheet) bytes() ([]byte, error) {
	var out bytes.Buffer
	if err := s.pdf.Output(&out); err != nil {
		return nil, fmt.Errorf("write PDF: %w", err)
	}
	return out.Bytes(), nil
}

// turn begins a page.
func (s *sheet) turn() {
	s.pdf.AddPage()
	s.page++
	s.y = firstTop
	if s.page > 1 {
		s.y = top
		s.text(left, 4400, small, s.clip(small, s.header[0], right-left-18000))
		s.textRight(right, 4400, small, s.clip(small, s.header[1], 17000))
		s.rule(left, right, 5000, 50, hair)
	}
	s.rule(left, right, pageHeight-4700, 50, hair)
	s.text(left, pageHeight-3700, small, s.footer)
	s.textRight(right, pageHeight-3700, small, fmt.Sprintf("Page %d of %d", s.page, s.pages))
}

// room begins a page if the rest of this one is shorter than a height.
func (s *sheet) room(height unit) {
	if s.y+height > bottom {
		s.turn()
	}
}

// use selects a face for measuring and drawing.
func (s *sheet) use(f face) {
	style := ""
	if f.bold {
		style = "B"
	}
	s.pdf.SetFont(family, style, pt(f.size))
	s.pdf.SetTextColor(f.ink[0], f.ink[1], f.ink[2])
}

// text draws one line from x, with its base line at y.
func (s *sheet) text(x, y unit, f face, text string) {
	if text = letters(text); text == "" {
		return
	}
	s.use(f)
	s.pdf.Text(pt(x), pt(y), text)
}

// textRight draws one line that ends at x.
func (s *sheet) textRight(x, y unit, f face, text string) {
	s.text(x-s.width(f, letters(text)), y, f, text)
}

func (s *sheet) width(f face, text string) unit {
	s.use(f)
	return unit(s.pdf.GetStringSymbolWidth(text)) * f.size / 1000
}

func (s *sheet) rule(from, to, y, weight unit, colour ink) {
	s.pdf.SetDrawColor(colour[0], colour[1], colour[2])
	s.pdf.SetLineWidth(pt(weight))
	s.pdf.Line(pt(from), pt(y), pt(to), pt(y))
}

func (s *sheet) box(x, y, width, height unit, colour ink) {
	s.pdf.SetFillColor(colour[0], colour[1], colour[2])
	s.pdf.Rect(pt(x), pt(y), pt(width), pt(height), "F")
}

// clip shortens a line to a width; it is for running headers only, whose text stands in full elsewhere.
func (s *sheet) clip(f face, text string, width unit) string {
	lines := s.wrap(f, text, width-s.width(f, "…"))
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return lines[0]
	default:
		return lines[0] + "…"
	}
}

// wrap breaks a text into lines of at most a width: between words, after an underscore or a slash, and inside a word that is
// longer than a line.
func (s *sheet) wrap(f face, text string, width unit) []string {
	var lines []string
	var line strings.Builder
	var used unit
	flush := func() {
		lines = append(lines, strings.TrimRight(line.String(), " "))
		line.Reset()
		used = 0
	}
	for _, word := range words(letters(text)) {
		size := s.width(f, strings.TrimRight(word, " "))
		if used > 0 && used+size > width {
			flush()
		}
		if size <= width {
			line.WriteString(word)
			used += s.width(f, word)
			continue
		}
		for _, r := range word {
			one := s.width(f, string(r))
			if used > 0 && used+one > width {
				flush()
			}
			line.WriteRune(r)
			used += one
		}
	}
	if line.Len() > 0 {
		flush()
	}
	return lines
}

// words cuts a text where a line may break; each part keeps what it ends with.
func words(text string) []string {
	var out []string
	begin := 0
	for i := range len(text) {
		if strings.IndexByte(" _/", text[i]) >= 0 && (i+1 == len(text) || text[i+1] != ' ') {
			out, begin = append(out, text[begin:i+1]), i+1
		}
	}
	if begin < len(text) {
		out = append(out, text[begin:])
	}
	return out
}

// column is a column of a table.
type column struct {
	title string
	width unit
	right bool
}

// styled is a text in a face.
type styled struct {
	face face
	text string
}

// cellText is what stands in one cell, each part on a line of its own.
type cellText []styled

// row is a row of a table: its cells, and below them texts as wide as the table.
type row struct {
	cells  []cellText
	below  []styled
	shaded bool
	total  bool
	// first keeps the row on the page of the next.
	first bool
	// bar is how much of a bar in the last column is filled; nil draws none.
	bar *unit
}

// The measures of tables and sections.
const (
	rowPadding   unit = 330
	headHeight   unit = 1500
	barHeight    unit = 420
	barText      unit = 2600
	sectionSpace unit = 2400
	sectionBelow unit = 500
	// keep is the least that may stand alone at the foot of a page.
	keep unit = 3000
)

// drawn is one physical line of a row.
type drawn struct {
	height unit
	spans  []span
}

type span struct {
	x     unit
	right bool
	styled
}

// table draws rows under a head that is repeated on every page.
func (s *sheet) table(columns []column, rows []row) {
	s.head(columns)
	for i := range rows {
		lines := s.lay(columns, &rows[i])
		height := 2 * rowPadding
		for _, line := range lines {
			height += line.height
		}
		need := height
		if rows[i].first {
			need += 2 * keep
		}
		if s.y+need > bottom && (need <= bottom-top-headHeight || s.y+keep > bottom) {
			s.turn()
			s.head(columns)
		}
		s.row(columns, &rows[i], lines, min(height, bottom-s.y))
	}
}

func (s *sheet) head(columns []column) {
	x := left
	for _, c := range columns {
		if c.right {
			s.textRight(x+c.width-rowPadding, s.y+900, columnFace, c.title)
		} else {
			s.text(x+rowPadding, s.y+900, columnFace, c.title)
		}
		x += c.width
	}
	s.y += headHeight
	s.rule(left, right, s.y, 90, navy)
}

// lay breaks a row into physical lines.
func (s *sheet) lay(columns []column, r *row) []drawn {
	var out []drawn
	x := left
	for i, c := range columns {
		n := 0
		for _, part := range r.cells[i] {
			for _, text := range s.wrap(part.face, part.text, c.width-2*rowPadding) {
				if n == len(out) {
					out = append(out, drawn{})
				}
				at := span{x + rowPadding, c.right, styled{part.face, text}}
				if c.right {
					at.x = x + c.width - rowPadding
				}
				out[n].height, out[n].spans = max(out[n].height, part.face.leading()), append(out[n].spans, at)
				n++
			}
		}
		x += c.width
	}
	width := right - left - 2*rowPadding
	for _, part := range r.below {
		for _, text := range s.wrap(part.face, part.text, width) {
			out = append(out, drawn{part.face.leading(), []span{{left + rowPadding, false, styled{part.face, text}}}})
		}
	}
	return out
}

// row draws a row; one that is longer than a page goes on over the next.
func (s *sheet) row(columns []column, r *row, lines []drawn, height unit) {
	if r.shaded {
		s.box(left, s.y, right-left, height, tint)
	}
	if r.total {
		s.rule(left, right, s.y, 70, navy)
	}
	if r.bar != nil {
		s.bar(columns, *r.bar)
	}
	s.y += rowPadding
	for _, line := range lines {
		if s.y+line.height > bottom {
			s.turn()
			s.head(columns)
			s.y += rowPadding
		}
		for _, at := range line.spans {
			if base := s.y + line.height*8/10; at.right {
				s.textRight(at.x, base, at.face, at.text)
			} else {
				s.text(at.x, base, at.face, at.text)
			}
		}
		s.y += line.height
	}
	s.y += rowPadding
	s.rule(left, right, s.y, 40, hair)
}

// barLength is the length of a bar in the last column.
func barLength(columns []column) unit { return columns[len(columns)-1].width - 2*rowPadding - barText }

func (s *sheet) bar(columns []column, fill unit) {
	x, y := right-columns[len(columns)-1].width+rowPadding, s.y+rowPadding+360
	s.box(x, y, barLength(columns), barHeight, track)
	if fill > 0 {
		s.box(x, y, fill, barHeight, navy)
	}
}

// section begins a part with a heading, which stays with what follows, and a remark under it.
func (s *sheet) section(title, remark string) {
	s.y += sectionSpace
	s.room(2 * keep)
	s.pdf.Bookmark(title, 0, pt(s.y-sectionFace.size))
	s.text(left, s.y, sectionFace, title)
	s.y += sectionBelow
	if remark != "" {
		s.paragraph(small, left, remark, right-left)
	}
}

// paragraph draws wrapped text from x.
func (s *sheet) paragraph(f face, x unit, text string, width unit) {
	for _, line := range s.wrap(f, text, width) {
		s.room(f.leading())
		s.text(x, s.y+f.leading()*8/10, f, line)
		s.y += f.leading()
	}
}
