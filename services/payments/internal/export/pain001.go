package export

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Lengths that the standard sets.
const (
	maxIdentifier = 35
	maxPartyName  = 140
	maxTotal      = money.Pence(999_999_999_999_999_999) // eighteen digits
)

// Account is a United Kingdom bank account: the name it is held under, six digits and eight digits.
type Account struct{ Name, SortCode, AccountNumber string }

// Pain001Template is a customer credit transfer with tokens where the bank accounts will be, so that it is safe to store.
type Pain001Template struct {
	MessageID string      `json:"message_id"`
	CreatedAt time.Time   `json:"created_at"`
	PayOn     string      `json:"pay_on"` // YYYY-MM-DD
	Payer     string      `json:"payer"`
	Token     string      `json:"account_token"`
	Count     int         `json:"count"`
	Total     money.Pence `json:"total_pence,string"`
	Transfers []Transfer  `json:"transfers"`
}

// Transfer is one payment of a template.
type Transfer struct {
	Reference string      `json:"reference"`
	Token     string      `json:"account_token"`
	Amount    money.Pence `json:"amount_pence,string"`
}

// NewPain001Template makes the template of a batch, transfers ordered by payee and reference. It refuses an identifier that a
// bank file cannot carry (BANK_IDENTIFIER_INVALID) and a batch with gaps (EXPORT_INCOMPLETE).
func NewPain001Template(batch *Batch, coding *Coding) (Pain001Template, error) {
	profile := Profile{Format: Pain001}
	if found := Missing(&profile, batch, coding); found != nil {
		return Pain001Template{}, blocked(&profile, found)
	}
	payments, err := arranged(Pain001, batch.Payments)
	if err != nil {
		return Pain001Template{}, err
	}
	return template(batch, payments, coding)
}

func template(b *Batch, payments []Payment, c *Coding) (Pain001Template, error) {
	out := Pain001Template{
		MessageID: messageID(b.ExportID), CreatedAt: b.CreatedAt.UTC().Truncate(time.Second), PayOn: b.PayOn.String(),
		Payer: c.Payer.Name, Token: c.Payer.AccountToken, Count: len(payments), Transfers: make([]Transfer, len(payments)),
	}
	for i := range payments {
		p := &payments[i]
		out.Transfers[i] = Transfer{Reference: p.Reference, Token: p.Supplier.AccountToken, Amount: p.Net}
		var err error
		if out.Total, err = out.Total.Add(p.Net); err != nil {
			return Pain001Template{}, err
		}
	}
	return out, out.check()
}

// messageID returns an export's identifier as a bank file carries it: a UUID is a character too long with its hyphens.
func messageID(exportID string) string {
	if len(exportID) > maxIdentifier {
		return strings.ReplaceAll(exportID, "-", "")
	}
	return exportID
}

func writeTemplate(w io.Writer, b *Batch, c *Coding) error {
	t, err := template(b, b.Payments, c)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(t); err != nil {
		return fmt.Errorf("write the template of %s: %w", t.MessageID, err)
	}
	return nil
}

// ParsePain001Template reads what Render wrote of PAIN001.
func ParsePain001Template(stored []byte) (Pain001Template, error) {
	in := json.NewDecoder(bytes.NewReader(stored))
	in.DisallowUnknownFields()
	var out Pain001Template
	if err := in.Decode(&out); err != nil {
		return Pain001Template{}, fmt.Errorf("read a credit transfer template: %w", err)
	}
	return out, nil
}

// check holds that identifiers can be carried unchanged, and that the transfers agree with the count and the sum.
func (t *Pain001Template) check() error {
	bad := fault.New(fault.Refused, ReasonIdentifierInvalid,
		"a bank file carries identifiers of 1 to %d letters, digits, spaces and / - ? : ( ) . , ' +, no slash at an end, none doubled",
		maxIdentifier)
	if !carried(t.MessageID) {
		bad = bad.At("export_id", fmt.Sprintf("%q cannot be carried", money.Clip(t.MessageID)))
	}
	var sum money.Pence
	seen := make(map[string]bool, len(t.Transfers))
	altered := len(t.Transfers) == 0 || t.Count != len(t.Transfers)
	for i := range t.Transfers {
		transfer := &t.Transfers[i]
		if !carried(transfer.Reference) {
			bad = bad.At("reference", fmt.Sprintf("%q cannot be carried", money.Clip(transfer.Reference)))
		}
		altered = altered || transfer.Amount <= 0 || seen[transfer.Reference]
		seen[transfer.Reference] = true
		var err error
		if sum, err = sum.Add(transfer.Amount); err != nil {
			return err
		}
	}
	if len(bad.Violations) > 0 {
		return bad
	}
	if sum > maxTotal {
		return fault.New(fault.Invalid, money.ReasonOverflow, "a bank file carries totals of up to %s, these transfers come to %s", maxTotal, sum)
	}
	if _, err := period.ParseDate(t.PayOn); err != nil || altered || sum != t.Total {
		return fault.New(fault.Refused, ReasonTemplateAltered,
			"the template says %d transfers of %s on %q; it holds %d different references, of %s in all",
			t.Count, t.Total, money.Clip(t.PayOn), len(seen), sum).
			With("count", t.Count).With("transfers", len(t.Transfers)).With("total_pence", int64(t.Total)).With("sum_pence", int64(sum))
	}
	return nil
}

// Resolve makes the bank file of a template: an ISO 20022 customer credit transfer, pain.001.001.09, in pounds, between accounts
// given by sort code and account number. Names are written in the standard's characters. It refuses a template that does not
// add up (BANK_TEMPLATE_ALTERED) or holds more than a file can carry (AMOUNT_OVERFLOW), tokens without an account
// (ACCOUNT_NOT_RESOLVED), and accounts that are none (BANK_DETAILS_INVALID), naming tokens and never details.
func Resolve(t *Pain001Template, accounts map[string]Account) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.resolvable(accounts); err != nil {
		return nil, err
	}
	payer := accounts[t.Token]
	sum, count := t.Total.Plain(), fmt.Sprint(t.Count)
	doc := document{Initiation: initiation{
		Header: groupHeader{
			MessageID: t.MessageID, CreatedAt: t.CreatedAt.UTC().Format("2006-01-02T15:04:05Z"), Count: count, Sum: sum,
			Initiator: named(t.Payer),
		},
		Instruction: instruction{
			ID: t.MessageID, Method: "TRF", Count: count, Sum: sum, Execution: execution{Date: t.PayOn},
			Debtor: named(payer.Name), Account: payer.account(currency), Agent: payer.agent(),
			Transfers: make([]transfer, len(t.Transfers)),
		},
	}}
	for i := range t.Transfers {
		in := &t.Transfers[i]
		payee := accounts[in.Token]
		doc.Initiation.Instruction.Transfers[i] = transfer{
			EndToEndID: in.Reference, Amount: amount{Currency: currency, Value: in.Amount.Plain()},
			Agent: payee.agent(), Creditor: named(payee.Name), Account: payee.account(""), Remittance: in.Reference,
		}
	}
	out := bytes.NewBufferString(xml.Header)
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return nil, fmt.Errorf("write the credit transfers of %s: %w", t.MessageID, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// resolvable names every token that stands for no account, or for one that is none.
func (t *Pain001Template) resolvable(accounts map[string]Account) error {
	tokens := map[string]bool{t.Token: true}
	for i := range t.Transfers {
		tokens[t.Transfers[i].Token] = true
	}
	absent := fault.New(fault.Refused, ReasonAccountNotResolved, "account tokens stand for no account")
	invalid := fault.New(fault.Refused, ReasonBankDetailsInvalid, "account tokens stand for what is not a United Kingdom account")
	for _, token := range slices.Sorted(maps.Keys(tokens)) {
		account, known := accounts[token]
		if !known {
			absent = absent.At(token, "stands for no account")
			continue
		}
		for _, wrong := range account.faults() {
			invalid = invalid.At(token, wrong)
		}
	}
	if n := len(absent.Violations); n > 0 {
		return absent.With("tokens", n)
	}
	if n := len(invalid.Violations); n > 0 {
		return invalid.With("faults", n)
	}
	if name := carriable(t.Payer); name == "" || len(name) > maxPartyName {
		return invalid.At("payer", "must have a name of 1 to 140 characters that a bank file can carry")
	}
	return nil
}

// faults says what is wrong with an account, without showing it.
func (a Account) faults() []string {
	var out []string
	if name := carriable(a.Name); name == "" || len(name) > maxPartyName {
		out = append(out, "the name must have 1 to 140 characters that a bank file can carry")
	}
	if !digits(a.SortCode, 6) {
		out = append(out, "the sort code must be six digits")
	}
	if !digits(a.AccountNumber, 8) {
		out = append(out, "the account number must be eight digits")
	}
	return out
}

func digits(value string, count int) bool {
	return len(value) == count && strings.Trim(value, "0123456789") == ""
}

func (a Account) account(currency string) account {
	return account{ID: a.AccountNumber, Currency: currency}
}

func (a Account) agent() agent { return agent{System: "GBDSC", Member: a.SortCode} }

func named(name string) party { return party{Name: carriable(name)} }

// The characters that every bank takes in a credit transfer.
const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	signs   = "/-?:().,'+ "
)

// carried tells whether an identifier goes through a bank unchanged.
func carried(id string) bool {
	return id != "" && len(id) <= maxIdentifier && strings.Trim(id, letters+signs) == "" && strings.TrimSpace(id) == id &&
		!strings.HasPrefix(id, "/") && !strings.HasSuffix(id, "/") && !strings.Contains(id, "//")
}

// plainer holds how letters and signs outside the bank's characters are written within them.
var plainer = strings.NewReplacer(
	"&", "+", "’", "'", "‘", "'", "`", "'", "–", "-", "—", "-", "_", "-", ";", ",", "[", "(", "]", ")", "{", "(", "}", ")",
	"à", "a", "á", "a", "â", "a", "ã", "a", "ä", "a", "å", "a", "æ", "ae", "ç", "c", "è", "e", "é", "e", "ê", "e", "ë", "e",
	"ì", "i", "í", "i", "î", "i", "ï", "i", "ñ", "n", "ò", "o", "ó", "o", "ô", "o", "õ", "o", "ö", "o", "ø", "o", "ß", "ss",
	"ù", "u", "ú", "u", "û", "u", "ü", "u", "ý", "y", "ÿ", "y", "ŵ", "w", "ŷ", "y",
	"À", "A", "Á", "A", "Â", "A", "Ã", "A", "Ä", "A", "Å", "A", "Æ", "AE", "Ç", "C", "È", "E", "É", "E", "Ê", "E", "Ë", "E",
	"Ì", "I", "Í", "I", "Î", "I", "Ï", "I", "Ñ", "N", "Ò", "O", "Ó", "O", "Ô", "O", "Õ", "O", "Ö", "O", "Ø", "O",
	"Ù", "U", "Ú", "U", "Û", "U", "Ü", "U", "Ý", "Y", "Ŵ", "W", "Ŷ", "Y",
)

// carriable writes a name in the bank's characters: accents go, any other sign becomes a space, and spaces are single.
func carriable(name string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters+signs, r) {
			return r
		}
		return ' '
	}, plainer.Replace(name))
	return strings.Join(strings.Fields(name), " ")
}

// The parts of a customer credit transfer that the suite fills, in the order of the standard.
type (
	document struct {
		XMLName    xml.Name   `xml:"urn:iso:std:iso:20022:tech:xsd:pain.001.001.09 Document"`
		Initiation initiation `xml:"CstmrCdtTrfInitn"`
	}
	initiation struct {
		Header      groupHeader `xml:"GrpHdr"`
		Instruction instruction `xml:"PmtInf"`
	}
	groupHeader struct {
		MessageID string `xml:"MsgId"`
		CreatedAt string `xml:"CreDtTm"`
		Count     string `xml:"NbOfTxs"`
		Sum       string `xml:"CtrlSum"`
		Initiator party  `xml:"InitgPty"`
	}
	instruction struct {
		ID        string     `xml:"PmtInfId"`
		Method    string     `xml:"PmtMtd"`
		Count     string     `xml:"NbOfTxs"`
		Sum       string     `xml:"CtrlSum"`
		Execution execution  `xml:"ReqdExctnDt"`
		Debtor    party      `xml:"Dbtr"`
		Account   account    `xml:"DbtrAcct"`
		Agent     agent      `xml:"DbtrAgt"`
		Transfers []transfer `xml:"CdtTrfTxInf"`
	}
	execution struct {
		Date string `xml:"Dt"`
	}
	party struct {
		Name string `xml:"Nm"`
	}
	account struct {
		ID       string `xml:"Id>Othr>Id"`
		Currency string `xml:"Ccy,omitempty"`
	}
	agent struct {
		System string `xml:"FinInstnId>ClrSysMmbId>ClrSysId>Cd"`
		Member string `xml:"FinInstnId>ClrSysMmbId>MmbId"`
	}
	amount struct {
		Currency string `xml:"Ccy,attr"`
		Value    string `xml:",chardata"`
	}
	transfer struct {
		EndToEndID string  `xml:"PmtId>EndToEndId"`
		Amount     amount  `xml:"Amt>InstdAmt"`
		Agent      agent   `xml:"CdtrAgt"`
		Creditor   party   `xml:"Cdtr"`
		Account    account `xml:"CdtrAcct"`
		Remittance string  `xml:"RmtInf>Ustrd"`
	}
)
