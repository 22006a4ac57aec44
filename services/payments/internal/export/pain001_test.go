package export_test

import (
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

func template(t require.TestingT) export.Pain001Template {
	out, err := export.NewPain001Template(realistic(), coding())
	require.NoError(t, err)
	return out
}

func TestPain001_WritesTheFilesAsReviewed(t *testing.T) {
	t.Parallel()
	stored := rendered(t, layout(t, export.Pain001), realistic())
	golden(t, "pain001_template.json", stored)
	require.Equal(t, string(stored), string(rendered(t, layout(t, export.Pain001), shuffled(realistic()))))
	parsed, err := export.ParsePain001Template(stored)
	if assert.NoError(t, err) {
		require.Equal(t, template(t), parsed)
	}
	for _, account := range accounts() {
		require.NotContains(t, string(stored), account.AccountNumber)
	}
	file, err := export.Resolve(&parsed, accounts())
	if assert.NoError(t, err) {
		golden(t, "pain001.xml", file)
		require.NoError(t, published(t).check(file))
	}
}

// TestSchema_SeesWhatIsWrong shows that the check of documents against the published schema is one that can fail.
func TestSchema_SeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	sound := template(t)
	file, err := export.Resolve(&sound, accounts())
	require.NoError(t, err)
	for name, swap := range map[string][2]string{
		"namespace":        {"pain.001.001.09", "pain.001.001.03"},
		"document":         {"Document", "Dokument"},
		"required element": {"<PmtMtd>TRF</PmtMtd>", ""},
		"enumeration":      {"TRF", "XXX"},
		"unknown element":  {"<PmtMtd>", "<Mthd>x</Mthd><PmtMtd>"},
		"order":            {"<PmtMtd>TRF</PmtMtd>\n      <NbOfTxs>3</NbOfTxs>", "<NbOfTxs>3</NbOfTxs><PmtMtd>TRF</PmtMtd>"},
		"length":           {"<MsgId>", "<MsgId>" + strings.Repeat("x", 10)},
		"pattern":          {"<NbOfTxs>3", "<NbOfTxs>three"},
		"currency":         {`Ccy="GBP"`, `Ccy="gbp"`},
		"no attribute":     {` Ccy="GBP"`, ""},
		"other attribute":  {`Ccy="GBP"`, `Ccy="GBP" x="1"`},
		"choice":           {"<Dt>2022-05-04</Dt>", "<Dt>2022-05-04</Dt><DtTm>2022-05-04T00:00:00Z</DtTm>"},
		"date":             {"<Dt>2022-05-04", "<Dt>04/05/2022"},
		"decimal":          {"<CtrlSum>", "<CtrlSum>£"},
		"fraction":         {"924.00", "924.000001"},
		"negative":         {`"GBP">`, `"GBP">-`},
	} {
		broken := strings.Replace(string(file), swap[0], swap[1], 2)
		require.NotEqual(t, string(file), broken, name)
		require.Error(t, published(t).check([]byte(broken)), name)
	}
}

func TestResolve_RefusesWhatIsNoAccount(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		account export.Account
		faults  int
	}{
		"hyphens":       {export.Account{Name: "A", SortCode: "20-00-00", AccountNumber: "00000012"}, 1},
		"short":         {export.Account{Name: "A", SortCode: "20000", AccountNumber: "0000012"}, 2},
		"other digits":  {export.Account{Name: "A", SortCode: "２00000", AccountNumber: "0000001٢"}, 2},
		"no name":       {export.Account{SortCode: "200000", AccountNumber: "00000012"}, 1},
		"nameless":      {export.Account{Name: "家\n", SortCode: "200000", AccountNumber: "00000012"}, 1},
		"long name":     {export.Account{Name: strings.Repeat("x", 141), SortCode: "200000", AccountNumber: "00000012"}, 1},
		"nothing":       {export.Account{}, 3},
		"tag in number": {export.Account{Name: "A", SortCode: "200000", AccountNumber: "<Id>0</I"}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held, sound := accounts(), template(t)
			held["tok-u89141"] = c.account
			_, err := export.Resolve(&sound, held)
			f, ok := fault.As(err)
			if assert.True(t, ok) {
				require.Equal(t, export.ReasonBankDetailsInvalid, f.Reason)
				require.Len(t, f.Violations, c.faults)
				shown, _ := json.Marshal(f)
				for _, secret := range []string{c.account.SortCode, c.account.AccountNumber} {
					require.False(t, secret != "" && strings.Contains(string(shown)+err.Error(), secret), "details are never shown")
				}
			}
		})
	}
}

func TestResolve_NamesEveryTokenWithoutAnAccount(t *testing.T) {
	t.Parallel()
	sound := template(t)
	_, err := export.Resolve(&sound, map[string]export.Account{"tok-u89141": accounts()["tok-u89141"]})
	f, ok := fault.As(err)
	if assert.True(t, ok) {
		require.Equal(t, export.ReasonAccountNotResolved, f.Reason)
		require.Equal(t, "3", f.Meta["tokens"])
		require.Equal(t, "tok-a81004", f.Violations[0].Field)
	}
}

// TestResolve_RefusesATemplateThatDoesNotAddUp holds that a stored template cannot be changed unseen.
func TestResolve_RefusesATemplateThatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*export.Pain001Template){
		"amount":   func(p *export.Pain001Template) { p.Transfers[0].Amount++ },
		"total":    func(p *export.Pain001Template) { p.Total-- },
		"count":    func(p *export.Pain001Template) { p.Count++ },
		"left out": func(p *export.Pain001Template) { p.Total -= p.Transfers[0].Amount; p.Transfers = p.Transfers[1:] },
		"twice":    func(p *export.Pain001Template) { p.Transfers[1].Reference = p.Transfers[0].Reference },
		"negative": func(p *export.Pain001Template) { p.Transfers[0].Amount *= -1; p.Total += 2 * p.Transfers[0].Amount },
		"day":      func(p *export.Pain001Template) { p.PayOn = "4 May" },
		"empty":    func(p *export.Pain001Template) { p.Transfers, p.Count, p.Total = nil, 0, 0 },
	} {
		altered := template(t)
		change(&altered)
		_, err := export.Resolve(&altered, accounts())
		require.Equal(t, export.ReasonTemplateAltered, fault.ReasonOf(err), name)
	}
	over := template(t)
	over.Transfers[0].Amount = 1<<63 - 1
	_, err := export.Resolve(&over, accounts())
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
	for _, stored := range []string{"", "{", `{"sort_code":"200000"}`, `{"total_pence":"1.5"}`} {
		_, err := export.ParsePain001Template([]byte(stored))
		require.Error(t, err, stored)
	}
}

func TestPain001_RefusesIdentifiersThatABankWouldChange(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{
		strings.Repeat("x", 36), "/abc", "abc/", "a//b", "Ä1", "a\nb", " a", "a;b", "a_b", "<a>",
	} {
		batch := realistic()
		batch.Payments[0].Reference = reference
		_, err := export.NewPain001Template(batch, coding())
		require.Equal(t, export.ReasonIdentifierInvalid, fault.ReasonOf(err), "%q", reference)
	}
	batch := realistic()
	batch.ExportID = strings.Repeat("export ", 6)
	_, err := export.NewPain001Template(batch, coding())
	require.Equal(t, export.ReasonIdentifierInvalid, fault.ReasonOf(err))
	batch.ExportID = "EXP/1"
	kept, err := export.NewPain001Template(batch, coding())
	if assert.NoError(t, err) {
		require.Equal(t, "EXP/1", kept.MessageID)
	}
	batch.Payments[0].Supplier.AccountToken = ""
	_, err = export.NewPain001Template(batch, coding())
	require.Equal(t, export.ReasonIncomplete, fault.ReasonOf(err))
}

func TestResolve_WritesNamesInTheBanksCharacters(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Dr. O’Brien & Söhne":  "Dr. O'Brien + Sohne",
		"Meddygfa Tŷ Gwŷn":     "Meddygfa Ty Gwyn",
		"A <b>B</b>\r\n\tC  D": "A b B /b C D",
		"家 Surgery 🙂":          "Surgery",
	} {
		held, sound := accounts(), template(t)
		held["tok-u89141"] = export.Account{Name: name, SortCode: "200000", AccountNumber: "00000012"}
		file, err := export.Resolve(&sound, held)
		if assert.NoError(t, err, name) {
			var parsed struct {
				Names []string `xml:"CstmrCdtTrfInitn>PmtInf>CdtTrfTxInf>Cdtr>Nm"`
			}
			require.NoError(t, xml.Unmarshal(file, &parsed))
			require.Contains(t, parsed.Names, want)
		}
	}
	unreadable := template(t)
	unreadable.Payer = "家"
	_, err := export.Resolve(&unreadable, accounts())
	require.Equal(t, export.ReasonBankDetailsInvalid, fault.ReasonOf(err))
}

// FuzzResolve holds that whatever goes in, what comes out is a document of the schema that carries the transfers, or nothing.
func FuzzResolve(f *testing.F) {
	f.Add("North Sample PCN", "NHS Tees Valley CCG", "16C-2022-04-1-U89141", "export", "200000", "00000012", int64(100))
	f.Add("A&B <x>]]>\x00", "\xff", "a/b", "EXP-1", "20-00-00", "0", int64(-1))
	f.Add("é\u2028'\"", "-", "(1)", "x", "000000", "99999999", int64(1<<62))
	f.Fuzz(func(t *testing.T, holder, payer, reference, id, sortCode, number string, pence int64) {
		in := export.Pain001Template{
			MessageID: id, CreatedAt: time.Unix(1_650_000_000, 0).UTC(), PayOn: "2022-05-04", Payer: payer, Token: "tok-payer", Count: 1,
			Total: money.Pence(pence), Transfers: []export.Transfer{{Reference: reference, Token: "tok", Amount: money.Pence(pence)}},
		}
		held := map[string]export.Account{"tok-payer": accounts()["tok-payer"], "tok": {Name: holder, SortCode: sortCode, AccountNumber: number}}
		file, err := export.Resolve(&in, held)
		if err != nil {
			require.NotEmpty(t, fault.ReasonOf(err))
			return
		}
		require.NoError(t, published(t).check(file))
		var parsed struct {
			Reference string `xml:"CstmrCdtTrfInitn>PmtInf>CdtTrfTxInf>PmtId>EndToEndId"`
			Amount    string `xml:"CstmrCdtTrfInitn>PmtInf>CdtTrfTxInf>Amt>InstdAmt"`
		}
		require.NoError(t, xml.Unmarshal(file, &parsed))
		require.Equal(t, reference, parsed.Reference)
		require.Equal(t, money.Pence(pence).Plain(), parsed.Amount)
	})
}
