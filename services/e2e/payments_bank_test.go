package e2e

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const accountsHeader = "token,name,sort_code,account_number\n"

// transferFile is a credit transfer as far as the tests read it.
type transferFile struct {
	XMLName xml.Name
	Header  struct {
		MessageID string `xml:"MsgId"`
		Count     int    `xml:"NbOfTxs"`
		Sum       string `xml:"CtrlSum"`
	} `xml:"CstmrCdtTrfInitn>GrpHdr"`
	Instruction struct {
		Count     int    `xml:"NbOfTxs"`
		Sum       string `xml:"CtrlSum"`
		Date      string `xml:"ReqdExctnDt>Dt"`
		Debtor    string `xml:"DbtrAcct>Id>Othr>Id"`
		Transfers []struct {
			Reference string `xml:"PmtId>EndToEndId"`
			Amount    struct {
				Currency string `xml:"Ccy,attr"`
				Value    string `xml:",chardata"`
			} `xml:"Amt>InstdAmt"`
			SortCode string `xml:"CdtrAgt>FinInstnId>ClrSysMmbId>MmbId"`
			Name     string `xml:"Cdtr>Nm"`
			Account  string `xml:"CdtrAcct>Id>Othr>Id"`
		} `xml:"CdtTrfTxInf"`
	} `xml:"CstmrCdtTrfInitn>PmtInf"`
}

// bankAccount is made up; the numbers are unlike any other that the suite writes.
type bankAccount struct{ token, name, sortCode, number string }

// writeAccounts changes the accounts behind tokens, as an operator changes a mounted secret.
func writeAccounts(t testing.TB, accounts []bankAccount) {
	t.Helper()
	require.NotEmpty(t, suite.accounts, "a bank file needs E2E_ACCOUNTS_FILE")
	text := accountsHeader
	for _, a := range accounts {
		text += fmt.Sprintf("%s,%s,%s,%s\n", a.token, a.name, a.sortCode, a.number)
	}
	fresh := suite.accounts + ".new"
	require.NoError(t, os.WriteFile(fresh, []byte(text), 0o600))
	require.NoError(t, os.Rename(fresh, suite.accounts))
}

func TestPaymentsBankFile_HoldsAccountsOnlyWhileItIsRead(t *testing.T) {
	t.Parallel()
	o := officeOf(t, "01T")
	closed := o.sample(t)
	run := o.passed(t, o.run(t, "2022-04", 1))
	path := "/v1/payments/runs/" + run.RunID + ":export"
	body := fields{"request_id": unique(), "format": "FORMAT_PAIN_001"}
	p := o.preparer.post(t, path, body).refused(t, http.StatusBadRequest, "EXPORT_INCOMPLETE")
	for _, missing := range []string{"payer_name", "payer_account_token", "account token"} {
		require.Contains(t, p.violations(), missing)
	}
	o.profile(t, "FORMAT_PAIN_001", fields{"payer_name": "NHS South Sefton CCG", "payer_account_token": "acc-payer"})
	payees := o.payees(t, run.RunID)
	o.supply(t, payees)
	accounts := []bankAccount{{"acc-payer", "NHS SOUTH SEFTON", "907351", "86420975"}}
	writeAccounts(t, accounts)
	p = o.preparer.post(t, path, body.with("request_id", unique())).refused(t, http.StatusBadRequest, "ACCOUNT_NOT_RESOLVED")
	require.Contains(t, p.violations(), "acc-"+payees[0].Payee.Code)
	for i, payee := range payees {
		accounts = append(accounts, bankAccount{"acc-" + payee.Payee.Code, fmt.Sprintf("Prâctice & Partners %d", i), "907352", fmt.Sprintf("8642%04d", 9000+i)})
	}
	short := append([]bankAccount{}, accounts...)
	short[1].number = "8642000"
	writeAccounts(t, short)
	p = o.preparer.post(t, path, body.with("request_id", unique())).refused(t, http.StatusBadRequest, "BANK_DETAILS_INVALID")
	require.NotContains(t, p.violations()+p.Detail, "864200")
	require.Equal(t, "RUN_STATE_APPROVED", o.run(t, "2022-04", 1).State)

	writeAccounts(t, accounts)
	sent := o.export(t, run.RunID, "FORMAT_PAIN_001")
	content := o.file(t, sent)
	requireTransfers(t, content, sent.ExportedAt[:len("2006-01-02")], o.sent(t, run.RunID), accounts)
	require.Equal(t, closed.PayTotalPence, sent.AmountPence)
	require.Equal(t, run.RunID+"-pain-001.xml", sent.FileName)

	changed := append([]bankAccount{}, accounts...)
	changed[1].number = "86428888"
	writeAccounts(t, changed)
	o.preparer.get(t, "/v1/payments/exports/"+sent.ExportID+"/file").refused(t, http.StatusBadRequest, "EXPORT_CHANGED")
	writeAccounts(t, accounts[:1])
	o.preparer.get(t, "/v1/payments/exports/"+sent.ExportID+"/file").refused(t, http.StatusBadRequest, "ACCOUNT_NOT_RESOLVED")
	writeAccounts(t, accounts)
	require.Equal(t, content, o.file(t, sent), "the accounts are as they were, and so is the file")
	o.requireNowhere(t, sent, append(accounts, changed[1], short[1]))
}

// requireTransfers checks the file against the payments and accounts.
func requireTransfers(t testing.TB, content []byte, day string, payments []payment, accounts []bankAccount) {
	t.Helper()
	var got transferFile
	require.NoError(t, xml.Unmarshal(content, &got))
	require.Equal(t, xml.Name{Space: "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09", Local: "Document"}, got.XMLName)
	require.Equal(t, accounts[0].number, got.Instruction.Debtor)
	require.Equal(t, day, got.Instruction.Date)
	byToken := make(map[string]bankAccount)
	for _, a := range accounts {
		byToken[a.token] = a
	}
	byReference := make(map[string]payment)
	var sum int64
	for _, p := range payments {
		byReference[p.PaymentID] = p
		sum += p.AmountPence
	}
	require.Equal(t, []int{len(payments), len(payments)}, []int{got.Header.Count, got.Instruction.Count})
	require.Equal(t, []string{pounds(sum), pounds(sum)}, []string{got.Header.Sum, got.Instruction.Sum})
	require.Len(t, got.Instruction.Transfers, len(payments))
	for _, transfer := range got.Instruction.Transfers {
		p, found := byReference[transfer.Reference]
		require.True(t, found, transfer.Reference)
		account := byToken["acc-"+p.Payee.Code]
		require.Equal(t, []string{"GBP", pounds(p.AmountPence)}, []string{transfer.Amount.Currency, transfer.Amount.Value})
		require.Equal(t, []string{account.sortCode, account.number}, []string{transfer.SortCode, transfer.Account})
		require.True(t, strings.HasPrefix(transfer.Name, "Practice + Partners "), transfer.Name)
	}
}

// stands tells whether a number stands in some content. Of the many digests and identifiers in hexadecimal one may hold its digits by
// chance: a number within the run of one does not count.
func stands(content, number []byte) bool {
	const digest = 32 // digits of the shortest
	hexadecimal := func(b byte) bool { return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b == '-' }
	for from := 0; ; {
		at := bytes.Index(content[from:], number)
		if at < 0 {
			return false
		}
		first, end := from+at, from+at+len(number)
		from = end
		for first > 0 && hexadecimal(content[first-1]) {
			first--
		}
		for end < len(content) && hexadecimal(content[end]) {
			end++
		}
		if end-first < digest {
			return true
		}
	}
}

func TestStands_TellsNumbersFromDigests(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]bool{
		`{"number":"86428888"}`: true, "86428888": true, "\x0886428888\x12": true, "20-00-00 86428888": true, "nothing": false,
		"01a20371-fd21-7984-b2fd-f86428888046":           false,
		"a9993e364706816aba3e86428888c26c9cd0d":          false,
		"a9993e364706816aba3e86428888c26c9cd0d 86428888": true,
	} {
		require.Equal(t, want, stands([]byte(content), []byte("86428888")), content)
	}
}

// requireNowhere checks that no bank detail is in what the suite shows, logs or stores.
func (o office) requireNowhere(t testing.TB, e export, accounts []bankAccount) {
	t.Helper()
	details := make([][]byte, 0, len(accounts))
	for _, a := range accounts {
		details = append(details, []byte(a.number))
	}
	absent := func(where string, content []byte) {
		t.Helper()
		for _, detail := range details {
			require.False(t, stands(content, detail), "%s holds an account number", where)
		}
	}
	for _, path := range []string{
		"/v1/payments/exports/" + e.ExportID, "/v1/payments/exports?commissioner_code=" + o.code, "/v1/payments/payments?page_size=1000&run_id=" + e.RunID,
		"/v1/payments/audit?page_size=1000&commissioner_code=" + o.code, "/v1/payments/postings?page_size=1000&commissioner_code=" + o.code,
		"/v1/payments/runs/" + e.RunID, "/v1/payments/commissioners/" + o.code + "/suppliers", "/v1/payments/settings?commissioner_code=" + o.code,
	} {
		got := o.onlooking.get(t, path)
		require.Equal(t, http.StatusOK, got.Status, "%s", got)
		absent(path, got.Body)
	}
	absent("the log", suite.log())
	if suite.dataDir == "" {
		return
	}
	// Databases and streams are files below the data folder: what was stored or published is in their bytes.
	require.NoError(t, filepath.WalkDir(suite.dataDir, func(path string, entry fs.DirEntry, err error) error {
		var content []byte
		if err == nil && entry.Type().IsRegular() {
			content, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment of a stream, or a log of a database, that is no more needed
		}
		absent(filepath.Base(path), content)
		return err
	}))
}
