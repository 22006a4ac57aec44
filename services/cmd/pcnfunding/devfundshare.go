package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// sharingFlags say how a pool is shared beside its method.
type sharingFlags struct {
	Leadership       string   `help:"Percentage set aside first for the leadership of clinical directors, or default for the portion that is set, or the year's: 10 in 2019-20. Without it nothing is set aside." placeholder:"PERCENT"`
	LeadershipReason string   `help:"Why there is none; needed for 0 after 2019-20."`
	System           string   `help:"Percentage set aside first for support bought once for the system." placeholder:"PERCENT"`
	Place            string   `help:"Percentage set aside first for support bought once for a place." placeholder:"PERCENT"`
	NeedSource       string   `help:"Where the need indices of --receivers come from."`
	PopulationDate   string   `help:"Day of the populations, YYYY-MM-DD; without one, 1 January before the year."`
	MembershipDate   string   `help:"Day of the memberships, YYYY-MM-DD; without one, 1 April of the year."`
	Receivers        string   `help:"CSV file with the columns code, name, population, need_index, bid_gbp, source; only code is needed." type:"existingfile"`
	ReceiversLevel   string   `help:"Level of the receivers: pcn, commissioner, place or system; pcn unless stated."`
	Of               []string `help:"Commissioners whose PCNs share; without one, the allocation's."`
}

// sharingWords are the methods as a person writes them.
const sharingWords = "equal, registered, weighted, adjusted, flat:POUNDS, need or bid"

// method reads a method as a person writes it.
func (f *sharingFlags) method(text string) (*devfundv1.SharingMethod, error) {
	out := &devfundv1.SharingMethod{PopulationDate: f.PopulationDate}
	name, flat, _ := strings.Cut(text, ":")
	switch name {
	case "equal":
		out.Kind = devfundv1.SharingKind_EQUAL
	case "registered":
		out.Kind = devfundv1.SharingKind_PER_HEAD_REGISTERED
	case "weighted":
		out.Kind = devfundv1.SharingKind_PER_HEAD_WEIGHTED
	case "adjusted":
		out.Kind = devfundv1.SharingKind_PER_HEAD_ADJUSTED
	case "flat":
		pence, err := money.ParsePence(flat)
		if err != nil {
			return nil, fmt.Errorf("flat sum of %q: %w", text, err)
		}
		out.Kind, out.FlatPence = devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, int64(pence)
	case "need":
		out.Kind, out.NeedIndexSource = devfundv1.SharingKind_NEED_INDEX, f.NeedSource
	case "bid":
		out.Kind = devfundv1.SharingKind_BID
	default:
		return nil, fmt.Errorf("there is no method %q: %s", text, sharingWords)
	}
	for _, slice := range []struct {
		purpose         devfundv1.AllocationPurpose
		percent, reason string
	}{
		{devfundv1.AllocationPurpose_LEADERSHIP, f.Leadership, f.LeadershipReason},
		{devfundv1.AllocationPurpose_SYSTEM_SUPPORT, f.System, ""},
		{devfundv1.AllocationPurpose_PLACE_SUPPORT, f.Place, ""},
	} {
		if slice.percent != "" {
			if slice.purpose == devfundv1.AllocationPurpose_LEADERSHIP && slice.percent == "default" {
				slice.percent = ""
			}
			out.Slices = append(out.Slices, &devfundv1.TopSlice{Purpose: slice.purpose, Percent: slice.percent, Reason: slice.reason})
		}
	}
	return out, nil
}

// receivers reads the file of receivers, if there is one.
func (f *sharingFlags) receivers() (out []*devfundv1.Receiver, err error) {
	if f.Receivers == "" {
		return nil, nil
	}
	file, err := os.Open(f.Receivers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return readReceivers(file)
}

// readReceivers reads receivers from CSV. Every bad value is named.
func readReceivers(r io.Reader) ([]*devfundv1.Receiver, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("receivers: %w", err)
	}
	if len(rows) == 0 || !slices.Contains(rows[0], "code") {
		return nil, errors.New("receivers: the file begins with a header that has the column code")
	}
	var out []*devfundv1.Receiver
	var bad []error
	for i, row := range rows[1:] {
		receiver := new(devfundv1.Receiver)
		for column, name := range rows[0] {
			switch value := strings.TrimSpace(row[column]); name {
			case "code":
				receiver.Code = value
			case "name":
				receiver.Name = value
			case "population":
				receiver.Population = value
			case "need_index":
				receiver.NeedIndex = value
			case "source":
				receiver.Source = value
			case "bid_gbp":
				pence, err := money.ParsePence(cmp.Or(value, "0"))
				if err != nil {
					bad = append(bad, fmt.Errorf("receivers, line %d, column bid_gbp: %w", i+2, err))
				}
				receiver.BidPence = int64(pence)
			default:
				if i == 0 {
					bad = append(bad, fmt.Errorf("receivers: there is no column %q", name))
				}
			}
		}
		if receiver.GetCode() == "" {
			bad = append(bad, fmt.Errorf("receivers, line %d, column code: it is empty", i+2))
		}
		out = append(out, receiver)
	}
	return out, errors.Join(bad...)
}

type devfundCompareCommand struct {
	client       `embed:""`
	sharingFlags `embed:""`
	Allocation   string   `arg:"" help:"Allocation."`
	Method       []string `help:"Methods; differences are against the first: equal, registered, weighted, adjusted, flat:POUNDS, need or bid." default:"registered,weighted,equal"`
	Pool         string   `help:"Pounds to share; without it, what is left of the allocation, or what its decision shared." placeholder:"POUNDS"`
}

// Run prints alternatives side by side.
func (c *devfundCompareCommand) Run(ctx context.Context) error {
	level, err := levelOf(c.ReceiversLevel)
	if err != nil {
		return err
	}
	req := &devfundv1.CompareSharingRequest{
		AllocationId: c.Allocation, ReceiversLevel: level, CommissionerCodes: c.Of, MembershipDate: c.MembershipDate,
	}
	for _, text := range c.Method {
		method, err := c.method(text)
		if err != nil {
			return err
		}
		req.Methods = append(req.Methods, method)
	}
	if req.Receivers, err = c.receivers(); err != nil {
		return err
	}
	if c.Pool != "" {
		pence, err := money.ParsePence(c.Pool)
		if err != nil {
			return err
		}
		req.PoolPence = (*int64)(&pence)
	}
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		answer, err := suite.devfund.CompareSharing(ctx, req)
		if err != nil {
			return err
		}
		return tellAlternatives(os.Stdout, answer)
	})
}

// tellAlternatives prints every receiver under every method, with what each moves against the first.
func tellAlternatives(out io.Writer, answer *devfundv1.CompareSharingResponse) error {
	refused := make([]bool, len(answer.GetAlternatives()))
	for i, a := range answer.GetAlternatives() {
		if r := a.GetRefusal(); r != nil {
			refused[i] = true
			_, _ = fmt.Fprintf(out, "%d  %s: refused: %s, %s; %s\n", i+1, cmp.Or(a.GetMethodWords(), lower(a.GetMethod().GetKind().String())), r.GetReason(), r.GetMissing(), r.GetRemedy())
			continue
		}
		_, _ = fmt.Fprintf(out, "%d  %s: %s to share of %s", i+1, a.GetMethodWords(), money.Pence(a.GetSharedPoolPence()), money.Pence(a.GetPoolPence()))
		for _, slice := range a.GetSlices() {
			_, _ = fmt.Fprintf(out, ", %s for %s", money.Pence(slice.GetAmountPence()), lower(slice.GetPurpose().String()))
		}
		if a.GetHeldPence() != 0 {
			_, _ = fmt.Fprintf(out, ", %s held back", money.Pence(a.GetHeldPence()))
		}
		_, _ = fmt.Fprintln(out)
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(w, "receiver\t")
	for i := range answer.GetAlternatives() {
		_, _ = fmt.Fprintf(w, "%d\t", i+1)
		if i > 0 {
			_, _ = fmt.Fprint(w, "moved\t")
		}
	}
	_, _ = fmt.Fprintln(w)
	for _, r := range answer.GetReceivers() {
		_, _ = fmt.Fprintf(w, "%s\t", r.GetCode())
		for i, amount := range r.GetAmountsPence() {
			_, _ = fmt.Fprintf(w, "%s\t", unlessRefused(amount, i < len(refused) && refused[i]))
			if i > 0 && i < len(r.GetMovedPence()) {
				_, _ = fmt.Fprintf(w, "%s\t", unlessRefused(r.GetMovedPence()[i], i < len(refused) && (refused[i] || refused[0])))
			}
		}
		_, _ = fmt.Fprintf(w, "  %s\n", r.GetName())
	}
	return w.Flush()
}

// unlessRefused writes an amount, and nothing where a method made none.
func unlessRefused(pence int64, refused bool) string {
	if refused {
		return ""
	}
	return money.Pence(pence).String()
}

type devfundShareCommand struct {
	client       `embed:""`
	sharingFlags `embed:""`
	Allocation   string `arg:"" help:"Allocation."`
	Method       string `arg:"" help:"Method: equal, registered, weighted, adjusted, flat:POUNDS, need or bid."`
	Commissioner string `help:"Commissioner that accounts for the allocation; without one, England."`
	DecidedBy    string `help:"Body or person that decided." required:""`
	DecidedOn    string `help:"Day, YYYY-MM-DD." required:""`
	Minutes      string `help:"Reference of the minutes." required:""`
	Reason       string `help:"Why this method." required:""`
	Replaces     string `help:"Decision whose place it takes."`
}

// Run records the decision and prints what it came to.
func (c *devfundShareCommand) Run(ctx context.Context) error {
	level, err := levelOf(c.ReceiversLevel)
	if err != nil {
		return err
	}
	method, err := c.method(c.Method)
	if err != nil {
		return err
	}
	receivers, err := c.receivers()
	if err != nil {
		return err
	}
	return c.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) error {
		held, err := suite.devfund.GetAllocation(ctx, &devfundv1.GetAllocationRequest{AllocationId: c.Allocation})
		if err != nil {
			return err
		}
		decision, err := suite.devfund.DecideSharing(ctx, &devfundv1.DecideSharingRequest{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, AllocationId: c.Allocation, Etag: held.GetEtag(), Method: method,
			ReceiversLevel: level, Receivers: receivers, CommissionerCodes: c.Of, MembershipDate: c.MembershipDate,
			DecidedBy: c.DecidedBy, DecidedOn: c.DecidedOn, MinuteReference: c.Minutes, Reason: c.Reason, ReplacesDecisionId: c.Replaces,
		})
		if err != nil {
			return err
		}
		return tellDecision(os.Stdout, decision)
	})
}

func tellDecision(out io.Writer, d *devfundv1.SharingDecision) error {
	o := d.GetOutcome()
	_, _ = fmt.Fprintf(out, "%s: %s of %s, decided by %s on %s (%s)\n", d.GetDecisionId(), o.GetMethodWords(), money.Pence(o.GetPoolPence()), d.GetDecidedBy(), d.GetDecidedOn(),
		d.GetMinuteReference())
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	for _, slice := range o.GetSlices() {
		_, _ = fmt.Fprintf(w, "\t%s%%\t%s\t  %s\n", slice.GetPercent(), money.Pence(slice.GetAmountPence()), lower(slice.GetPurpose().String()))
	}
	for _, s := range o.GetShares() {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t  %s\n", s.GetCode(), shortly(s.GetPopulation()), money.Pence(s.GetAmountPence()), s.GetName())
	}
	if o.GetHeldPence() != 0 {
		_, _ = fmt.Fprintf(w, "\t\t%s\t  held back\n", money.Pence(o.GetHeldPence()))
	}
	return w.Flush()
}
