// Evaluates logged decisions again, by another implementation of Cedar, and compares.
//
//	cedar POLICY_FILE... < LINES
//
// A line is an event of the trail, or its `unmapped.mcp.decision.evaluated` alone; lines without one are counted and left
// out. Of events only those count that were decided by these policies (their SHA-256 is `policy_set`).
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cedar-policy/cedar-go"
)

type evaluated struct {
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Policies []struct {
		ID string `json:"id"`
	} `json:"policies"`
	LeftOut   int             `json:"policies_left_out"`
	PolicySet string          `json:"policy_set"`
	Request   json.RawMessage `json:"request"`
}

type line struct {
	evaluated
	Unmapped struct {
		MCP struct {
			Decision struct {
				Evaluated *evaluated `json:"evaluated"`
			} `json:"decision"`
		} `json:"mcp"`
	} `json:"unmapped"`
}

type request struct {
	Principal cedar.EntityUID `json:"principal"`
	Action    cedar.EntityUID `json:"action"`
	Resource  cedar.EntityUID `json:"resource"`
	Context   cedar.Record    `json:"context"`
	Entities  cedar.EntityMap `json:"entities"`
}

func main() {
	policies, version, err := read(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	agreed, others, wrong := 0, 0, 0
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		text, err := input.ReadBytes('\n')
		if len(text) == 0 && err != nil {
			break
		}
		var one line
		if err := json.Unmarshal(text, &one); err != nil {
			fmt.Fprintln(os.Stderr, "no JSON:", err)
			wrong++
			continue
		}
		logged := &one.evaluated
		if event := one.Unmapped.MCP.Decision.Evaluated; event != nil {
			logged = event
		}
		if logged.PolicySet != version || logged.Decision == "not_evaluated" {
			others++
			continue
		}
		if problem := compare(policies, logged); problem != "" {
			fmt.Fprintf(os.Stderr, "%s: %s\n", problem, logged.Request)
			wrong++
			continue
		}
		agreed++
	}
	fmt.Printf("{\"agreed\":%d,\"others\":%d,\"wrong\":%d}\n", agreed, others, wrong)
	if wrong > 0 {
		os.Exit(1)
	}
}

// read gives the policies under the names that the auditor gives them, and the version of the set.
func read(files []string) (*cedar.PolicySet, string, error) {
	set, lines := cedar.NewPolicySet(), ""
	var version string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, "", err
		}
		hash := sha256.Sum256(text)
		version = hex.EncodeToString(hash[:])
		lines += version + "\n"
		list, err := cedar.NewPolicyListFromBytes(file, text)
		if err != nil {
			return nil, "", err
		}
		for number, policy := range list {
			id := string(policy.Annotations()["id"])
			if id == "" {
				id = fmt.Sprintf("%s#%d", filepath.Base(file), number)
			}
			set.Add(cedar.PolicyID(id), policy)
		}
	}
	if len(files) != 1 {
		hash := sha256.Sum256([]byte(lines))
		version = hex.EncodeToString(hash[:])
	}
	return set, version, nil
}

// compare says in what a logged decision differs from that of this implementation.
func compare(policies *cedar.PolicySet, logged *evaluated) string {
	var asked request
	if err := json.Unmarshal(logged.Request, &asked); err != nil {
		return "the request cannot be read: " + err.Error()
	}
	decision, diagnostic := cedar.Authorize(policies, asked.Entities, cedar.Request{
		Principal: asked.Principal,
		Action:    asked.Action,
		Resource:  asked.Resource,
		Context:   asked.Context,
	})
	if (decision == cedar.Allow) != (logged.Decision == "allow") {
		return fmt.Sprintf("logged %s, evaluated %s", logged.Decision, decision)
	}
	var reasons, told []string
	for _, reason := range diagnostic.Reasons {
		reasons = append(reasons, string(reason.PolicyID))
	}
	if logged.Reason != "no_policy_permits" {
		for _, policy := range logged.Policies {
			told = append(told, policy.ID)
		}
	}
	slices.Sort(reasons)
	slices.Sort(told)
	if logged.LeftOut > 0 && logged.Reason != "no_policy_permits" {
		// The first ones are named.
		if len(reasons) == len(told)+logged.LeftOut {
			reasons = reasons[:len(told)]
		}
	}
	if !slices.Equal(reasons, told) {
		return fmt.Sprintf("logged %v, evaluated %v", told, reasons)
	}
	return ""
}
