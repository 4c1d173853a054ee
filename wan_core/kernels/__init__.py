"""Operations between the matrix products: fused ones beside their torch references. Torch and Triton only."""
