package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

type claimCommand struct {
	List    claimListCommand    `cmd:"" help:"List claims for staff."`
	Show    claimShowCommand    `cmd:"" help:"Show a claim line by line: what is payable, and why any is not."`
	Import  claimImportCommand  `cmd:"" help:"Put forward the claims of a CSV file, or only check them."`
	Approve claimApproveCommand `cmd:"" help:"Approve a claim that another person put forward, as it stands."`
	Reject  claimRejectCommand  `cmd:"" help:"Reject a claim that another person put forward."`
}

type claimListCommand struct {
	client       `embed:""`
	Commissioner string `help:"Only this commissioner."`
	PCN          string `help:"Only this PCN."`
	Month        string `help:"Only this month, YYYY-MM."`
	Waiting      bool   `help:"Only those that wait for a decision."`
}

// Run prints claims, newest first.
func (c *claimListCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		claims, err := listClaims(ctx, suite.arrs, &arrsv1.ListClaimsRequest{CommissionerCode: c.Commissioner, PcnCode: c.PCN, Month: c.Month})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
		_, _ = fmt.Fprintln(w, "claim\tpcn\tmonth\tkind\tstate\tlines\tclaimed\tpayable\tapproved\t")
		for _, claim := range claims {
			state := claim.GetState()
			if c.Waiting && state != arrsv1.ClaimState_CLAIM_STATE_SUBMITTED && state != arrsv1.ClaimState_CLAIM_STATE_QUERIED {
				continue
			}
			claimed, payable, approved := totalsOf(claim)
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t\n", claim.GetClaimId(), claim.GetPcnCode(), claim.GetMonth(), strings.ToLower(claim.GetKind().String()),
				claimState(claim), claim.GetLineCount(), claimed, payable, approved)
		}
		return w.Flush()
	})
}

func claimState(claim *arrsv1.Claim) string {
	return strings.ToLower(strings.TrimPrefix(claim.GetState().String(), "CLAIM_STATE_"))
}

// totalsOf adds up the pots of a claim.
func totalsOf(claim *arrsv1.Claim) (claimed, payable, approved money.Pence) {
	for _, total := range claim.GetTotals() {
		claimed, payable = claimed+money.Pence(total.GetClaimedPence()), payable+money.Pence(total.GetPayablePence())
		approved += money.Pence(total.GetApprovedPence())
	}
	return claimed, payable, approved
}

type claimShowCommand struct {
	client `embed:""`
	Claim  string `arg:"" help:"Claim id."`
}

// Run prints one claim.
func (c *claimShowCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		claim, err := suite.arrs.GetClaim(ctx, &arrsv1.GetClaimRequest{ClaimId: c.Claim})
		return tellClaim(os.Stdout, claim, err)
	})
}

// tellClaim prints where a claim stands, and its lines.
func tellClaim(w io.Writer, claim *arrsv1.Claim, err error) error {
	if err != nil {
		return err
	}
	claimed, payable, approved := totalsOf(claim)
	what := "would come to"
	if claim.GetClaimId() != "" {
		what = fmt.Sprintf("(%s) is %s", claim.GetClaimId(), claimState(claim))
	}
	_, err = fmt.Fprintf(w, "%s claim of %s for %s %s: %d lines, %s claimed, %s payable, %s approved\n", strings.ToLower(claim.GetKind().String()),
		claim.GetPcnCode(), claim.GetMonth(), what, claim.GetLineCount(), claimed, payable, approved)
	for _, line := range claim.GetLines() {
		_, _ = fmt.Fprintf(w, "  %s (%s): %s of %s payable\n", line.GetLabel(), line.GetRoleCode(), money.Pence(line.GetPayablePence()), money.Pence(line.GetClaimedPence()))
		if replaced := money.Pence(line.GetReplacedPence()); replaced != 0 {
			_, _ = fmt.Fprintf(w, "    in the place of %s that was approved before\n", replaced)
		}
		for _, test := range line.GetTests() {
			if test.GetMessage() != "" {
				_, _ = fmt.Fprintf(w, "    %s %s: %s\n", test.GetTest(), strings.ToLower(test.GetOutcome().String()), test.GetMessage())
			}
		}
	}
	return err
}

type claimImportCommand struct {
	client       `embed:""`
	File         string `arg:"" help:"CSV file of claims, one row a line." type:"existingfile"`
	Commissioner string `required:"" help:"Commissioner that leads the PCNs of the file."`
	Check        bool   `help:"Tell what the claims would come to, and store nothing."`
	Declared     bool   `help:"The declaration of the national form is made for every claim of the file."`
}

// Run sends the file in pieces and prints each claim that it made.
func (c *claimImportCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_PREPARER, func(suite clients) (err error) {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		header := &arrsv1.ClaimsHeader{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, FileName: filepath.Base(c.File), CheckOnly: c.Check, Declared: c.Declared,
		}
		answer, err := sendClaims(ctx, suite.arrs, header, file)
		if err != nil {
			return err
		}
		state := "put forward"
		switch {
		case c.Check:
			state = "checked, nothing is stored"
		case answer.GetAlreadyImported():
			state = "put forward before, nothing changed"
		}
		fmt.Printf("%s: %d rows in %d claims, %s\n", header.GetFileName(), answer.GetRows(), len(answer.GetClaims()), state)
		for _, claim := range answer.GetClaims() {
			err = errors.Join(err, tellClaim(os.Stdout, claim, nil))
		}
		return err
	})
}

// sendClaims sends a file of claims in pieces.
func sendClaims(ctx context.Context, arrs arrsv1.ArrsServiceClient, header *arrsv1.ClaimsHeader, content io.Reader) (*arrsv1.ImportClaimsResponse, error) {
	stream, err := arrs.ImportClaims(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Header{Header: header}})
	if err == nil {
		err = inPieces(content, func(piece []byte) error {
			return stream.Send(&arrsv1.ImportClaimsRequest{Part: &arrsv1.ImportClaimsRequest_Chunk{Chunk: piece}})
		})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv() // it tells the cause where the server ended the upload early
}

type claimApproveCommand struct {
	client `embed:""`
	Claim  string `arg:"" help:"Claim id."`
}

// Run approves all that is payable of the claim.
func (c *claimApproveCommand) Run(ctx context.Context) error {
	return c.decide(ctx, c.Claim, &arrsv1.DecideClaimRequest{Approve: true})
}

type claimRejectCommand struct {
	client `embed:""`
	Claim  string `arg:"" help:"Claim id."`
	Reason string `required:"" help:"Why, for the PCN to read."`
}

// Run rejects the claim.
func (c *claimRejectCommand) Run(ctx context.Context) error {
	return c.decide(ctx, c.Claim, &arrsv1.DecideClaimRequest{Reason: c.Reason})
}

// decide decides a claim as it stands.
func (c *client) decide(ctx context.Context, id string, req *arrsv1.DecideClaimRequest) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error {
		claim, err := suite.arrs.GetClaim(ctx, &arrsv1.GetClaimRequest{ClaimId: id})
		if err != nil {
			return err
		}
		req.RequestId, req.ClaimId, req.Etag = newRequestID(), id, claim.GetEtag()
		claim, err = suite.arrs.DecideClaim(ctx, req)
		return tellClaim(os.Stdout, claim, err)
	})
}
